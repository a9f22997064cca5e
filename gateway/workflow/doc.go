// Package workflow is the place of pipelines: a workflow is a list of stages,
// and each stage is an ordinary job on the road of package gateway, admitted,
// priced, reserved and settled like any other.
//
// This release has no workflows. A request of kind "pipeline" finds no backend
// and is refused as unsupported.
//
// It may import gateway and the words of the root package. What must never
// happen here: a stage that reaches a backend without gateway.Submit.
package workflow
