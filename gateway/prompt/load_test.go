package prompt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/prompt"
)

// refused loads a file that must be refused with the message, "f.yaml:" and all.
func refused(t *testing.T, name, text, message string) {
	t.Helper()
	_, err := prompt.New([]prompt.File{file("f.yaml", text)})
	e := jeantrail.AsError(err)
	if err == nil || e.Code != jeantrail.CodeInvalid || !strings.HasPrefix(e.Message, message) {
		t.Errorf("%s: got %v, want %s", name, err, message)
	}
}

// edited returns the full template with one thing replaced.
func edited(t *testing.T, old, replacement string) string {
	t.Helper()
	if strings.Count(full, old) != 1 {
		t.Fatalf("the template has %q %d times", old, strings.Count(full, old))
	}
	return strings.Replace(full, old, replacement, 1)
}

func TestFilesAreRefused(t *testing.T) {
	const (
		first = "  - {name: text, type: string, required: true, max_length: 5, description: A text.}"
		tone  = `  - {name: tone, type: string, enum: [calm, "no"], default: calm, description: A tone.}`
		price = "  - {name: price, type: number, minimum: -1.5, default: 2.50, description: A price.}"
		count = "  - {name: count, type: integer, minimum: 1, description: A count.}"
		loud  = "  - {name: loud, type: boolean, default: true, description: Loud or not.}"
	)
	for _, c := range []struct{ name, old, replacement, message string }{
		{"no name", "name: full\n", "", "f.yaml:2: name: it is missing"},
		{"no version", "version: 3\n", "", "f.yaml:2: version: it is missing"},
		{"no kind", "kind: text\n", "", "f.yaml:2: kind: it is missing"},
		{"no description", "description: Everything.\n", "", "f.yaml:2: description: it is missing"},
		{"unknown key", "version: 3", "versoin: 3", `f.yaml:3: "versoin": the key is not known`},
		{"key twice", "kind: text", "name: again", "f.yaml:4: name: the key is given twice"},
		{"key is a number", "kind: text", "1: text", `f.yaml:4: "1": the key is not known`},
		{"merge key", "kind: text", "<<: {kind: text}", `f.yaml:4: "<<": the key is not known`},
		{"name with a space", "name: full", "name: full moon", `f.yaml:2: name: "full moon" is not a name`},
		{"name with a slash", "name: full", "name: ../full", `f.yaml:2: name: "../full" is not a name`},
		{"long name", "name: full", "name: " + strings.Repeat("n", 129), "f.yaml:2: name: "},
		{"name is a number", "name: full", "name: 12", "f.yaml:2: name: it must be text"},
		{"name is a list", "name: full", "name: [full]", "f.yaml:2: name: it must be text"},
		{"name is empty", "name: full", `name: " "`, "f.yaml:2: name: the text is empty"},
		{"version 0", "version: 3", "version: 0", "f.yaml:3: version: it must be a whole number from 1"},
		{"version below 0", "version: 3", "version: -1", "f.yaml:3: version: it must be a whole number from 1"},
		{"version with a fraction", "version: 3", "version: 1.5", "f.yaml:3: version: it must be a whole number from 1"},
		{"version as text", "version: 3", `version: "3"`, "f.yaml:3: version: it must be a whole number from 1"},
		{"hexadecimal version", "version: 3", "version: 0x3", "f.yaml:3: version: it must be a whole number from 1"},
		{"large version", "version: 3", "version: 4294967296", "f.yaml:3: version: it must be a whole number from 1"},
		{"unknown kind", "kind: text", "kind: poem", `f.yaml:4: kind: "poem" is not a kind that has templates`},
		{"kind without templates", "kind: text", "kind: pipeline", `f.yaml:4: kind: "pipeline" is not a kind that has templates`},
		{"image with a system text", "kind: text", "kind: image", "f.yaml:13: system: a template of the kind image has no system text"},
		{"no description text", "description: Everything.", "description:", "f.yaml:5: description: it must be text"},
		{"input not declared", "input: text", "input: txt", `f.yaml:6: input: "txt" is not a variable of the type string`},
		{"input not a string", "input: text", "input: price", `f.yaml:6: input: "price" is not a variable of the type string`},
		{"alias", "input: text", "input: &a text\n\nx: *a", `f.yaml:8: "x": the key is not known`},
		{"alias as a value", "version: 3\nkind: text", "version: 3\nkind: &k text\ninput: *k\n#", "f.yaml:5: input: it must be text"},
		{"custom tag", "kind: text", "kind: !kind text", "f.yaml:4: kind: it must be text"},
		{"binary", "kind: text", "kind: !!binary dGV4dA==", "f.yaml:4: kind: it must be text"},

		{"variable without a name", first, "  - {type: string, description: A text.}", "f.yaml:8: variables[0].name: it is missing"},
		{"variable without a type", first, "  - {name: text, description: A text.}", "f.yaml:8: variables[0].type: it is missing"},
		{"variable without a description", first, "  - {name: text, type: string}", "f.yaml:8: variables[0].description: it is missing"},
		{"variable is text", first, "  - text", "f.yaml:8: variables[0]: it must be a mapping"},
		{"variable with an unknown key", first, "  - {name: text, type: string, maximum: 3}", `f.yaml:8: variables[0]."maximum": the key is not known`},
		{"variable declared twice", tone, first, "f.yaml:9: variables[1].name: the variable text is declared twice"},
		{"variable in capitals", first, "  - {name: Text, type: string, description: A text.}", `f.yaml:8: variables[0].name: "Text" is not a name`},
		{"variable with a hyphen", first, "  - {name: a-b, type: string, description: A text.}", `f.yaml:8: variables[0].name: "a-b" is not a name`},
		{"unknown type", first, "  - {name: text, type: float, description: A text.}", `f.yaml:8: variables[0].type: "float" is not a type`},
		{"required is text", first, "  - {name: text, type: string, required: yes, description: A text.}", "f.yaml:8: variables[0].required: it must be true or false"},
		{"max_length 0", first, "  - {name: text, type: string, max_length: 0, description: A text.}", "f.yaml:8: variables[0].max_length: it must be a whole number from 1"},

		{"enum of a number", price, "  - {name: price, type: number, enum: [a], description: A price.}", "f.yaml:10: variables[2].enum: only a string has it"},
		{"enum empty", tone, "  - {name: tone, type: string, enum: [], description: A tone.}", "f.yaml:9: variables[1].enum: the list is empty"},
		{"enum is text", tone, "  - {name: tone, type: string, enum: calm, description: A tone.}", "f.yaml:9: variables[1].enum: it must be a list"},
		{"enum with a number", tone, "  - {name: tone, type: string, enum: [calm, 1], description: A tone.}", "f.yaml:9: variables[1].enum[1]: it must be text"},
		{"enum with a value twice", tone, "  - {name: tone, type: string, enum: [calm, calm], description: A tone.}", `f.yaml:9: variables[1].enum[1]: "calm" is listed twice`},
		{"enum and max_length", tone, "  - {name: tone, type: string, enum: [calm], max_length: 3, description: A tone.}", "f.yaml:9: variables[1].max_length: the values of enum"},
		{"max_length of a number", price, "  - {name: price, type: number, max_length: 3, description: A price.}", "f.yaml:10: variables[2].max_length: only a string has it"},
		{"minimum of a string", first, "  - {name: text, type: string, minimum: 3, description: A text.}", "f.yaml:8: variables[0].minimum: only a number or integer has it"},
		{"minimum of a boolean", loud, "  - {name: loud, type: boolean, minimum: 3, description: Loud.}", "f.yaml:12: variables[4].minimum: only a number or integer has it"},
		{"minimum is text", price, "  - {name: price, type: number, minimum: low, description: A price.}", "f.yaml:10: variables[2].minimum: it must be a number"},
		{"minimum is quoted", price, `  - {name: price, type: number, minimum: "0", description: A price.}`, "f.yaml:10: variables[2].minimum: it must be a number"},
		{"minimum is no number", price, "  - {name: price, type: number, minimum: .nan, description: A price.}", "f.yaml:10: variables[2].minimum: it must be a number"},
		{"minimum is infinite", price, "  - {name: price, type: number, minimum: -.inf, description: A price.}", "f.yaml:10: variables[2].minimum: it must be a number"},
		{"minimum of an integer with a fraction", count, "  - {name: count, type: integer, minimum: 0.5, description: A count.}", "f.yaml:11: variables[3].minimum: the minimum of an integer"},
		{"minimum of an integer out of reach", count, "  - {name: count, type: integer, minimum: 1e17, description: A count.}", "f.yaml:11: variables[3].minimum: the minimum of an integer"},

		{"default of a required variable", first, "  - {name: text, type: string, required: true, default: a, description: A text.}", "f.yaml:8: variables[0].default: a required variable has no default"},
		{"default of another type", tone, "  - {name: tone, type: string, default: 3, description: A tone.}", "f.yaml:9: variables[1].default: it must be a string, not a number"},
		{"default outside enum", tone, "  - {name: tone, type: string, enum: [calm], default: wild, description: A tone.}", "f.yaml:9: variables[1].default: it must be one of calm"},
		{"default too long", tone, "  - {name: tone, type: string, max_length: 3, default: calm, description: A tone.}", "f.yaml:9: variables[1].default: it has 4 characters, the most is 3"},
		{"default empty", tone, `  - {name: tone, type: string, default: "", description: A tone.}`, "f.yaml:9: variables[1].default: the text is empty"},
		{"default null", tone, "  - {name: tone, type: string, default: null, description: A tone.}", "f.yaml:9: variables[1].default: it must be text, a number, true or false"},
		{"default a list", tone, "  - {name: tone, type: string, default: [calm], description: A tone.}", "f.yaml:9: variables[1].default: it must be text, a number, true or false"},
		{"default of a number is text", price, `  - {name: price, type: number, default: "1", description: A price.}`, "f.yaml:10: variables[2].default: it must be a number, not a string"},
		{"default below the minimum", price, "  - {name: price, type: number, minimum: 0, default: -1, description: A price.}", "f.yaml:10: variables[2].default: it must be at least 0, not -1"},
		{"default with underscores", price, "  - {name: price, type: number, default: 1_000, description: A price.}", "f.yaml:10: variables[2].default: it is not a number as JSON writes it"},
		{"default not a number", price, "  - {name: price, type: number, default: .nan, description: A price.}", "f.yaml:10: variables[2].default: it is not a number as JSON writes it"},
		{"default of an integer with a fraction", count, "  - {name: count, type: integer, default: 1.0, description: A count.}", "f.yaml:11: variables[3].default: it must be an integer, without a fraction"},
		{"default of a boolean is a number", loud, "  - {name: loud, type: boolean, default: 1, description: Loud.}", "f.yaml:12: variables[4].default: it must be true or false, not a number"},

		{"variable not used", "{{.price}}", "", "f.yaml:10: variables[2]: the variable price is not used"},
	} {
		refused(t, c.name, edited(t, c.old, c.replacement), c.message)
	}

	if _, err := prompt.New([]prompt.File{file("f.yaml", full)}); err != nil {
		t.Errorf("the template itself is refused: %v", err)
	}
}

func TestDocumentsAreRefused(t *testing.T) {
	var many strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, "- {name: v%d, type: string, description: d}\n", i)
	}
	for _, c := range []struct{ name, text, message string }{
		{"nothing", "", "f.yaml: the file is empty"},
		{"only a comment", "# later\n", "f.yaml: the file is empty"},
		{"an empty document", "---\n", "f.yaml:2: template: it must be a mapping"},
		{"text", "hello", "f.yaml:1: template: it must be a mapping"},
		{"a list", "- name: x\n", "f.yaml:1: template: it must be a mapping"},
		{"two documents", full + "---\n" + full, "f.yaml:18: document: the file has a second document"},
		{"a bad second document", full + "---\n{", "f.yaml: line 19: "},
		{"no YAML", "name: [", "f.yaml: line 1: "},
		{"tabs", "name:\n\t- x", "f.yaml: line 2: "},
		{"a control character", "name: \x01", "f.yaml: control characters are not allowed"},
		{"not UTF-8", "name: \xff\xfe", "f.yaml: "},
		{"too large", "# " + strings.Repeat("x", 256<<10), "f.yaml: the file has 262146 bytes, the most is 262144"},
		{"deeply nested", strings.Repeat("[", 20000), "f.yaml: exceeded max depth"},
		{"unknown anchor", "name: *x", "f.yaml: unknown anchor"},
		{"too many variables", "variables:\n" + many.String(), "f.yaml:2: variables: the list has 65 elements, the most is 64"},
		{"no variables", "variables: []\n", "f.yaml:1: variables: the list is empty"},
	} {
		refused(t, c.name, c.text, c.message)
	}
}
