package server

import (
	"bytes"
	"encoding/json"

	"github.com/jeantrail/jeantrail-ai"
)

// namedValues reads an object whose members are called one each, in the field
// that is called all. null is none at all, and a name that comes twice is refused.
func namedValues(data []byte, all, one string, read func(name string, raw json.RawMessage) (any, error)) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	opening, err := dec.Token()
	if err != nil || opening == nil {
		return nil, err
	}
	if opening != json.Delim('{') {
		return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "%s must be an object", all)
	}
	values := make(map[string]any)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, twice := values[name]; twice {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "the %s %q is given twice", one, name).WithHint("Send it once.")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		if values[name], err = read(name, raw); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// plainValue reads a string, a number, which keeps its digits, true or false;
// plain tells whether it is one of these.
func plainValue(raw json.RawMessage) (value any, plain bool, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if value, err = dec.Token(); err != nil {
		return nil, false, err
	}
	switch value.(type) {
	case string, json.Number, bool:
		return value, true, nil
	default:
		return nil, false, nil
	}
}
