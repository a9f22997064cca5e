package energy

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// maxGap is how far apart two readings of a rate may be for their mean to say
// anything about the time between them.
const maxGap = 3 * maxInterval

// battery reads the rate at which the batteries discharge, in microwatts.
type battery struct {
	files   files
	folders []string
}

// openBattery finds the batteries; not_found says that there is none.
func openBattery(f files) (probe, error) {
	folders, err := f.folders("BAT", "sys", "class", "power_supply")
	if err != nil {
		return nil, err
	}
	if len(folders) == 0 {
		return nil, jeantrail.Errorf(jeantrail.CodeNotFound, "there is no battery")
	}
	return &battery{files: f, folders: folders}, nil
}

func (b *battery) name() string { return "battery" }

func (b *battery) close() {}

// read returns the sum over the batteries that discharge; of several, those that
// rest add nothing. While one is charged the rate says nothing about what the
// machine draws.
func (b *battery) read() ([]uint64, error) {
	var sum uint64
	discharging := 0
	for _, folder := range b.folders {
		status, err := b.files.text(filepath.Join(folder, "status"))
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(status, "charging") {
			return nil, onMains(status)
		}
		if !strings.EqualFold(status, "discharging") {
			continue
		}
		rate, err := b.rate(folder)
		if err != nil {
			return nil, err
		}
		sum += rate
		discharging++
	}
	if discharging == 0 {
		return nil, onMains("no battery discharges")
	}
	return []uint64{sum}, nil
}

func onMains(status string) error {
	return jeantrail.Errorf(jeantrail.CodeConflict, "the machine does not run on its battery (%s), whose rate is all it could be measured by", strings.ToLower(status))
}

// rate returns the microwatts of one battery. Some drivers report what leaves it
// as negative.
func (b *battery) rate(folder string) (uint64, error) {
	watts, err := b.files.number(filepath.Join(folder, "power_now"))
	if jeantrail.CodeOf(err) == jeantrail.CodeNotFound {
		watts, err = b.product(folder)
	}
	if err != nil {
		return 0, err
	}
	if watts < 0 {
		watts = -watts
	}
	if watts == 0 || watts > maxWatts*1_000_000 {
		return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s does not tell its rate (%d microwatts)", filepath.Base(folder), watts)
	}
	return uint64(watts), nil
}

// product returns microamperes times microvolts, as microwatts.
func (b *battery) product(folder string) (int64, error) {
	current, err := b.files.number(filepath.Join(folder, "current_now"))
	if err != nil {
		return 0, err
	}
	voltage, err := b.files.number(filepath.Join(folder, "voltage_now"))
	if err != nil {
		return 0, err
	}
	const most = 1_000_000_000 // a thousand amperes or volts
	if max(current, -current, voltage, -voltage) > most {
		return 0, jeantrail.Errorf(jeantrail.CodeUnsupported, "%s does not tell its rate (%d microamperes, %d microvolts)",
			filepath.Base(folder), current, voltage)
	}
	return current * voltage / 1_000_000, nil
}

// drawn takes the mean of the two rates for the time between them.
func (b *battery) drawn(before, after []uint64, elapsed time.Duration) (int64, error) {
	if elapsed < 0 || elapsed > maxGap {
		return 0, jeantrail.Errorf(jeantrail.CodeConflict, "the battery's rate was not read for %s while the job ran", elapsed)
	}
	mean := int64(before[0]/2 + after[0]/2)
	return mean * elapsed.Microseconds() / 1_000_000, nil
}
