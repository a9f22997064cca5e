package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jeantrail/jeantrail-ai/doctor"
)

func newDoctorCommand(o *options) *cobra.Command {
	var fix bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong on this machine, and the command that mends it", Args: args(cobra.NoArgs),
		Long: "Looks at the program, the processor, graphics cards, memory, disks, the home, the database, the instance\n" +
			"that runs, the port, the settings, models, workers, the clock and proxies. It needs none of them to be in\n" +
			"order, changes nothing without --fix, and fails if something is a problem.\n\n" +
			"--fix does what takes nothing from anybody: it removes what a process that is gone told about itself and\n" +
			"downloads that nobody has gone on with for a week, and makes the home its owner's alone.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := newLooker(o)
			found := doctor.Run(cmd.Context(), l.checks())
			if cmd.Context().Err() != nil {
				return context.Cause(cmd.Context())
			}
			if !o.json {
				printFindings(cmd.OutOrStdout(), l.home, found)
			}
			if fix {
				l.mend(cmd.Context(), found, func(format string, args ...any) {
					if !o.json {
						fmt.Fprintf(cmd.OutOrStdout(), format, args...)
					}
				})
			}
			if o.json {
				if err := printJSON(cmd.OutOrStdout(), findingsOf(l.home, found)); err != nil {
					return err
				}
			} else {
				printSum(cmd.OutOrStdout(), found, fix)
			}
			if n := doctor.Count(found, doctor.Problem); n > 0 {
				return fmt.Errorf("%s found", several(n, "problem was", "problems were"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "do what is safe, after saying what it does")
	return o.jsonFlag(cmd)
}

// explains reports whether a command line asks for what runs on any CPU.
func explains(root *cobra.Command, args []string) bool {
	cmd, _, err := root.Find(args)
	return err == nil && cmd.Name() == "doctor"
}

// findingsOf is what --json prints.
func findingsOf(home string, found []doctor.Finding) map[string]any {
	status := doctor.OK
	for _, s := range []doctor.Status{doctor.Note, doctor.Warning, doctor.Problem} {
		if doctor.Count(found, s) > 0 {
			status = s
		}
	}
	return map[string]any{"version": version, "home": home, "status": status, "checks": found, "at": time.Now().UTC()}
}

const (
	statusColumn = 9
	nameColumn   = 16
)

// printFindings writes each finding in the same three columns. On a terminal
// sentences are broken into lines; commands never are, so that they can be copied.
func printFindings(w io.Writer, home string, found []doctor.Finding) {
	fmt.Fprintf(w, "jeantrail-ai %s on %s\n\n", version, orDash(&home))
	width := math.MaxInt
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		width = max(terminalWidth(w), 60) - statusColumn - nameColumn
	}
	indent := strings.Repeat(" ", statusColumn+nameColumn)
	for _, f := range found {
		sentences := printable(strings.TrimSpace(f.Found + " " + f.Why))
		fmt.Fprintf(w, "%-*s%-*s%s\n", statusColumn, f.Status, nameColumn, f.Name+" ", strings.Join(wrap(sentences, width), "\n"+indent))
		for _, line := range f.Mend {
			fmt.Fprintf(w, "%s  > %s\n", indent, printable(line))
		}
	}
}

// wrap breaks text into lines of at most width columns, between words only: a path
// stays whole.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// printSum writes how many findings of each kind there are, and what --fix would
// do.
func printSum(w io.Writer, found []doctor.Finding, fix bool) {
	problems, warnings, notes := doctor.Count(found, doctor.Problem), doctor.Count(found, doctor.Warning), doctor.Count(found, doctor.Note)
	fmt.Fprintf(w, "\n%s, %s, %s\n", several(problems, "problem", "problems"), several(warnings, "warning", "warnings"), several(notes, "note", "notes"))
	if fix {
		return
	}
	for _, f := range found {
		if f.Fix != nil {
			fmt.Fprintf(w, "jeantrail-ai doctor --fix would %s\n", printable(f.Fix.Does))
		}
	}
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
