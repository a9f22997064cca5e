package doctor

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Config is what is set, and what of it has no effect or cannot be read.
type Config struct {
	Path  string // of config.yaml
	There bool
	Wrong []Setting
	// Err is why all of the configuration is refused, beyond what is in Wrong; Line
	// is where in the file, 0 if it is not known or comes from elsewhere.
	Err, Hint string
	Line      int
	Stray     []string // files of the home that look like a configuration and are not read
	Notes     []string // what the configuration itself says of the environment
	Settings  int      // how many are not at their default
	Database  DatabaseURL
}

// Setting is one that nobody knows.
type Setting struct {
	Key      string
	Line     int    // in config.yaml; 0: it comes from the environment
	Near     string // the setting that was probably meant; "" none
	Variable string // of the environment that it comes from; "" the file
}

// DatabaseURL is what the environment and the configuration say of the database.
type DatabaseURL struct {
	Variable string // DATABASE_URL of the environment
	Over     string // what takes its place, such as JEANTRAIL_DATABASE_URL
	Value    string // in force; "" is the home's own
	Path     string // that it means
	Relative bool   // to the folder in which the program is started
}

// CheckConfig judges the configuration.
func CheckConfig(c Config) []Finding {
	const name = "config"
	var found []Finding
	for _, s := range c.Wrong {
		found = append(found, s.finding(c.Path))
	}
	if c.Err != "" {
		f := problem(name, "%s.", strings.TrimSuffix(c.Err, ".")).
			because("Nothing starts with a configuration that cannot be understood; the checks here go by the defaults.").mend(c.Hint)
		if c.Line > 0 {
			f.Found = fmt.Sprintf("%s:%d: %s.", c.Path, c.Line, strings.TrimSuffix(c.Err, "."))
			f = f.mend(fmt.Sprintf("Edit line %d: ${EDITOR:-nano} +%d %s", c.Line, c.Line, quoted(c.Path)))
		} else if c.There && len(f.Mend) == 0 {
			f = f.mend("Edit it: ${EDITOR:-nano} " + quoted(c.Path))
		}
		found = append(found, f)
	}
	for _, stray := range c.Stray {
		found = append(found, warning(name, "%s is not read: settings are read from config.yaml.", filepath.Base(stray)).
			because("What is set in it has no effect.").
			mend("mv "+quoted(stray)+" "+quoted(c.Path)))
	}
	for _, note := range c.Notes {
		found = append(found, remark(name, "%s", note))
	}
	found = append(found, c.Database.findings()...)
	text := "There is no " + c.Path
	if c.There {
		text = c.Path + " is understood"
	}
	switch c.Settings {
	case 0:
		text += "; all settings are at their defaults"
	default:
		text += fmt.Sprintf("; %s from there or the environment", plural(c.Settings, "setting comes", "settings come"))
	}
	return orGood(found, good(name, "%s.", text))
}

func (s Setting) finding(file string) Finding {
	var f Finding
	if s.Variable != "" {
		f = problem("config", "The environment variable %s is no setting.", s.Variable).mend("unset " + s.Variable)
	} else {
		f = problem("config", "%s:%d: unknown setting %q.", file, s.Line, s.Key).
			mend(fmt.Sprintf("Correct or remove line %d: ${EDITOR:-nano} +%d %s", s.Line, s.Line, quoted(file)))
	}
	if s.Near != "" {
		near := s.Near
		if s.Variable != "" {
			near = "JEANTRAIL_" + strings.ToUpper(strings.ReplaceAll(near, ".", "__"))
		}
		f.Found = strings.TrimSuffix(f.Found, ".") + "; " + near + " is probably meant."
	}
	return f.because("A misspelt setting would have no effect, so that it is refused and nothing starts.")
}

func (d DatabaseURL) findings() []Finding {
	const name = "config"
	var found []Finding
	if d.Variable != "" && d.Over != "" {
		found = append(found, remark(name, "DATABASE_URL has no effect: %s takes its place.", d.Over).mend("unset DATABASE_URL"))
	}
	if d.Relative {
		found = append(found, warning(name, "The database is %q, which is relative to the folder in which the program is started.", d.Value).
			because("Started elsewhere it makes another database, and jobs, budgets and costs seem gone.").
			mend("Name the whole path: sqlite:"+d.Path))
	}
	if strings.Contains(d.Path, "?") {
		found = append(found, warning(name, "The database's path has a question mark: %s.", d.Path).
			because("Parameters after it are taken for part of the file's name.").
			mend("Leave the parameters out: sqlite:"+d.Path[:strings.Index(d.Path, "?")]))
	}
	return found
}
