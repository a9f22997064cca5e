package doctor

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// want checks that there is one finding of a status whose words hold each of the
// parts, and that everything above a note says why and how to mend it.
func want(t *testing.T, found []Finding, s Status, parts ...string) Finding {
	t.Helper()
	sound(t, found)
	for _, f := range found {
		if f.Status == s && holdsAll(f, parts) {
			return f
		}
	}
	t.Errorf("no %s with %q in:\n%s", s, parts, text(found))
	return Finding{}
}

// wantNone checks that there is no finding of a status.
func wantNone(t *testing.T, found []Finding, statuses ...Status) {
	t.Helper()
	sound(t, found)
	for _, s := range statuses {
		if n := Count(found, s); n > 0 {
			t.Errorf("%d findings are a %s:\n%s", n, s, text(found))
		}
	}
}

// sound checks what holds for every finding.
func sound(t *testing.T, found []Finding) {
	t.Helper()
	for _, f := range found {
		above := f.Status == Warning || f.Status == Problem
		if f.Name == "" || f.Found == "" || above && (f.Why == "" || len(f.Mend) == 0) {
			t.Errorf("a finding says too little: %+v", f)
		}
		if strings.Contains(f.Found+f.Why+strings.Join(f.Mend, ""), "%!") || strings.Contains(f.Found, "..") {
			t.Errorf("a finding is not a sentence: %+v", f)
		}
	}
}

func holdsAll(f Finding, parts []string) bool {
	all := f.Name + "\n" + f.Found + "\n" + f.Why + "\n" + strings.Join(f.Mend, "\n")
	for _, p := range parts {
		if !strings.Contains(all, p) {
			return false
		}
	}
	return true
}

func text(found []Finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(string(f.Status) + " " + f.Name + ": " + f.Found + " " + f.Why + " " + strings.Join(f.Mend, " | ") + "\n")
	}
	return b.String()
}
