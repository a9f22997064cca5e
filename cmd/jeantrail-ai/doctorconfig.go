package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/doctor"
)

func (l *looker) lookAtConfig(context.Context) ([]doctor.Finding, error) {
	config, refused := l.config()
	c := doctor.Config{Path: filepath.Join(l.home, "config.yaml"), Notes: config.Notes}
	data, err := os.ReadFile(c.Path)
	c.There = err == nil
	var lines map[string]int
	switch {
	case err == nil:
		lines = settingLines(data)
		c.Wrong = wrongSettings(data)
	case !errors.Is(err, fs.ErrNotExist):
		refused = fmt.Errorf("%s cannot be read: %w", c.Path, err)
	}
	c.Wrong = append(c.Wrong, wrongVariables(os.Environ())...)
	if message, hint := words(refused); message != "" && !(len(c.Wrong) > 0 && strings.Contains(message, "unknown setting")) {
		c.Err, c.Hint, c.Line = strings.TrimPrefix(oneLine(message), "read configuration: "), hint, lineOf(message, lines)
		c.Err = strings.TrimPrefix(c.Err, c.Path+": ")
	}
	for _, name := range []string{"config.yml", "config.json", "config.toml", "jeantrail.yaml", "config.yaml.txt"} {
		if path := filepath.Join(l.home, name); fileThere(path) {
			c.Stray = append(c.Stray, path)
		}
	}
	for _, source := range config.Sources {
		if source != "default" {
			c.Settings++
		}
	}
	c.Database = databaseURL(config)
	return doctor.CheckConfig(c), nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// databaseURL says what the environment and the configuration say of the database.
func databaseURL(config *LoadedConfig) doctor.DatabaseURL {
	d := doctor.DatabaseURL{Variable: os.Getenv("DATABASE_URL"), Value: config.DatabaseURL}
	if d.Variable != "" && os.Getenv("JEANTRAIL_DATABASE_URL") != "" {
		d.Over = "JEANTRAIL_DATABASE_URL"
	}
	path, err := config.databasePath()
	if err != nil || d.Value == "" {
		return d
	}
	d.Path = path
	given := d.Value
	if u, err := url.Parse(given); err == nil && len(u.Scheme) > 1 { // one letter is a drive
		given = strings.TrimPrefix(given[len(u.Scheme)+1:], "//")
	}
	d.Relative = !filepath.IsAbs(given)
	return d
}

// settingLines tells in which line of a YAML file each key stands, keys of blocks
// in blocks with a dot, those of lists with their index: models[0].n_ctx. It is
// empty for a file that is not YAML.
func settingLines(data []byte) map[string]int {
	lines := make(map[string]int)
	walkYAML(data, func(key string, line int, _ bool) { lines[key] = line })
	return lines
}

// walkYAML tells of each key; leaf says that its value is no block.
func walkYAML(data []byte, tell func(key string, line int, leaf bool)) {
	var document yaml.Node
	if yaml.Unmarshal(data, &document) != nil || len(document.Content) == 0 {
		return
	}
	var walk func(n *yaml.Node, prefix string)
	walk = func(n *yaml.Node, prefix string) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				name, value := n.Content[i], n.Content[i+1]
				key := strings.TrimPrefix(prefix+"."+name.Value, ".")
				tell(key, name.Line, value.Kind != yaml.MappingNode)
				walk(value, key)
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				key := fmt.Sprintf("%s[%d]", prefix, i)
				if item.Kind == yaml.MappingNode {
					tell(key, item.Line, false)
				}
				walk(item, key)
			}
		}
	}
	walk(document.Content[0], "")
}

// inList takes a key of a block in a list apart.
var inList = regexp.MustCompile(`^(models|workers)\[\d+\]\.(.+)$`)

// wrongSettings lists every key of config.yaml that no setting has.
func wrongSettings(data []byte) []doctor.Setting {
	top := settingKeys(reflect.TypeFor[Config](), "")
	lists := map[string][]string{
		"models": settingKeys(reflect.TypeFor[ModelConfig](), ""), "workers": settingKeys(reflect.TypeFor[WorkerConfig](), ""),
	}
	var wrong []doctor.Setting
	walkYAML(data, func(key string, line int, leaf bool) {
		known, name := top, key
		if m := inList.FindStringSubmatch(key); m != nil {
			known, name = lists[m[1]], m[2]
		}
		if !leaf || slices.Contains(known, name) {
			return
		}
		near, _ := jeantrail.Nearest(name, known)
		wrong = append(wrong, doctor.Setting{Key: key, Line: line, Near: near})
	})
	return wrong
}

// wrongVariables lists the variables of the environment that look like settings
// and are none.
func wrongVariables(environ []string) []doctor.Setting {
	const prefix = "JEANTRAIL_"
	known := settingKeys(reflect.TypeFor[Config](), "")
	var wrong []doctor.Setting
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || slices.Contains(reservedEnv, name) || strings.HasPrefix(rest, "TEST_") {
			continue
		}
		key := strings.ReplaceAll(strings.ToLower(rest), "__", ".")
		if slices.Contains(known, key) {
			continue
		}
		near, _ := jeantrail.Nearest(key, known)
		wrong = append(wrong, doctor.Setting{Key: key, Variable: name, Near: near})
	}
	return wrong
}

// yamlLine is how the parser names a line.
var yamlLine = regexp.MustCompile(`\bline (\d+)`)

// lineOf is the line of config.yaml that an error is about: the one that it names,
// or that of the longest key that it names. 0 if there is none, or if the value
// comes from elsewhere.
func lineOf(message string, lines map[string]int) int {
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n
		}
	}
	if strings.Contains(message, "(from environment)") {
		return 0
	}
	longest := ""
	for key := range lines {
		if len(key) > len(longest) && strings.Contains(message, key) {
			longest = key
		}
	}
	return lines[longest]
}
