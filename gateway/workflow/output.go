package workflow

import (
	"math"

	"github.com/jeantrail/jeantrail-ai"
)

// outputs are what the workflow names as its output: values of JSON, and files
// as {"job_id", "index"} of the job that made them, or {"input"} that they came
// in.
func (w *compiled) outputs(scope map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(w.output))
	for _, name := range sortedKeys(w.output) {
		v, err := w.output[name].eval(scope)
		if err == nil {
			out[name], err = told(v)
		}
		if err != nil {
			return nil, atKey("output."+name, err)
		}
	}
	return out, nil
}

// told makes a value one that JSON can write.
func told(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool, int, int64:
		return v, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "it is not a finite number")
		}
		return v, nil
	case *attachment:
		return toldFile(v), nil
	case []*attachment:
		return toldList(v)
	case []segment:
		return toldList(v)
	case segment:
		return map[string]any{"start": v.Start, "end": v.End, "text": v.Text}, nil
	case []any:
		return toldList(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range sortedKeys(v) {
			element, err := told(v[key])
			if err != nil {
				return nil, err
			}
			out[key] = element
		}
		return out, nil
	}
	return nil, jeantrail.Errorf(jeantrail.CodeInvalid, "a value of the type %T cannot be told", v)
}

func toldFile(f *attachment) any {
	switch {
	case f == nil:
		return nil
	case f.jobID == "":
		return map[string]any{"input": f.input}
	}
	return map[string]any{"job_id": f.jobID, "index": f.index}
}

func toldList[E any](list []E) (any, error) {
	out := make([]any, 0, len(list))
	for _, element := range list {
		v, err := told(element)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
