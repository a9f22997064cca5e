package jeantrail

// VariableType says what a template's variable may be.
type VariableType string

// The types.
const (
	VariableString  VariableType = "string"
	VariableNumber  VariableType = "number"
	VariableInteger VariableType = "integer"
	VariableBoolean VariableType = "boolean"
)

// TemplateVariable is one thing that a template has to be told.
type TemplateVariable struct {
	Name        string
	Type        VariableType
	Description string
	Required    bool
	Default     any      // of the type; nil: none
	Enum        []string // if set, the only values of a string
	Minimum     *float64 // of a number
	MaxLength   int      // of a string, in characters; 0 is no limit of its own
}

// Template is a prompt with variables.
type Template struct {
	Name        string
	Version     int // from 1; a newer one has another text
	Kind        Kind
	Description string
	Source      string // "builtin", or the file that it was read from
	Variables   []TemplateVariable
	Input       string // the variable that a request's prompt fills; "" for none
	System      string // Go's text/template syntax
	Prompt      string // Go's text/template syntax
}

// RenderedTemplate is what a template makes of its variables.
type RenderedTemplate struct {
	Name    string
	Version int
	Kind    Kind
	System  string
	Prompt  string
}
