package energy

import "github.com/jeantrail/jeantrail-ai"

// look finds the sources: RAPL and NVML, or else the battery. The error tells of
// what is there and cannot be read, and if nothing can, of everything.
func look(root string) ([]probe, error) { return lookIn(filesAt(root)) }

func lookIn(f files) ([]probe, error) {
	var found []probe
	var refused, absent []error
	try := func(open func(files) (probe, error)) {
		p, err := open(f)
		switch {
		case err == nil:
			found = append(found, p)
		case jeantrail.CodeOf(err) == jeantrail.CodeNotFound:
			absent = append(absent, err)
		default:
			refused = append(refused, err)
		}
	}
	try(openRAPL)
	try(openNVML)
	if len(found) == 0 {
		try(openBattery)
	}
	if len(found) == 0 {
		refused = append(refused, absent...)
	}
	return found, list(refused)
}

// list puts errors side by side; nil if there are none.
func list(errs []error) error {
	text := ""
	for i, err := range errs {
		if i > 0 {
			text += "; "
		}
		text += words(err)
	}
	if text == "" {
		return nil
	}
	return jeantrail.Errorf(jeantrail.CodeUnsupported, "%s", text)
}
