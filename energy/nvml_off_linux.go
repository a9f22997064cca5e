//go:build !cgo || !nvml

package energy

import "github.com/jeantrail/jeantrail-ai"

// openNVML says whether there is something that this build leaves out.
func openNVML(f files) (probe, error) {
	if _, err := f.text(f.path("proc", "driver", "nvidia", "version")); err != nil {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no NVIDIA driver")
	}
	return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "this build does not read what the NVIDIA GPU draws").
		WithHint("Build with -tags nvml.")
}
