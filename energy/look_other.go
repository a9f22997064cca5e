//go:build !linux

package energy

import "github.com/jeantrail/jeantrail-ai"

// look finds nothing: only Linux lets a program read what the machine draws
// without a driver of its own.
func look(string) ([]probe, error) {
	return nil, jeantrail.Errorf(jeantrail.CodeUnsupported, "not on this system: energy is measured on Linux only")
}
