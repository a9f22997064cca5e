package testkit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Espeak returns a Coqui server that really speaks, with the program
// espeak-ng. Its speakers are espeak-ng's voices of these languages. A test on
// a machine without the program is skipped.
func Espeak(t testing.TB) Coqui {
	t.Helper()
	program, err := exec.LookPath("espeak-ng")
	if err != nil {
		t.Skip("espeak-ng is not there to speak; build/setup test installs it or says how")
	}
	return Coqui{
		Model:    "tts_models/en/espeak-ng/formants",
		Speakers: []string{"en", "en-gb", "en-us", "de", "fr", "es", "it"},
		voice: func(ctx context.Context, text, speaker string, speed float64) ([]byte, error) {
			return espeak(ctx, program, text, or(speaker, "en"), speed)
		},
	}
}

// espeak speaks the text, which goes to the program's input and nowhere else.
func espeak(ctx context.Context, program, text, voice string, speed float64) ([]byte, error) {
	const wordsPerMinute = 175
	cmd := exec.CommandContext(ctx, program, "--stdout", "--stdin", "-b", "1",
		"-v", voice, "-s", strconv.Itoa(int(wordsPerMinute*speed)))
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("espeak-ng: %w: %s", err, bytes.TrimSpace(problem.Bytes()))
	}
	return sized(out.Bytes())
}

// sized puts true sizes in the place of those that espeak-ng writes to a pipe
// before it knows better.
func sized(file []byte) ([]byte, error) {
	const head = 44
	if len(file) < head || string(file[36:40]) != "data" {
		return nil, errors.New("espeak-ng wrote no WAV file")
	}
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	binary.LittleEndian.PutUint32(file[40:], uint32(len(file)-head))
	return file, nil
}
