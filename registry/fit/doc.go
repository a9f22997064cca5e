// Package fit answers what a machine can run: which models fit, with how long a
// context, with how many layers on a GPU, and roughly how fast.
//
// Everything but Probe and MeasureBandwidth is arithmetic on what the caller
// hands in. Probe looks at the machine, MeasureBandwidth works for a few hundred
// milliseconds; their results are for the caller to keep. GPUs are given by the
// caller, who asks the library that would use them.
//
// It may import the root package, registry, registry/gguf, registry/catalogue,
// gopsutil and cpuid. It opens no connection and changes nothing.
//
// What must never happen here: a model said to fit on the strength of memory
// that somebody else holds, a speed that does not say that it is estimated, or a
// refusal without the numbers and what would fit.
package fit
