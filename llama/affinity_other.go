//go:build !linux

package llama

// allowedCPUs lists nothing: the count of CPUs is all this system tells.
func allowedCPUs() []int { return nil }
