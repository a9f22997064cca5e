package doctor

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jeantrail/jeantrail-ai"
)

// Models is every model file that the program would look at.
type Models struct {
	Folder string
	Err    string // names or the default model make no sense; with Hint
	Hint   string
	List   []Model
	Part   bool // there was no time to look at all files
	Hub    Hub
}

// Model is a file and what is wrong with it.
type Model struct {
	Name       string
	Path       string
	Configured bool // config.yaml names it; else it was found in the folder
	Default    bool
	Pinned     bool
	BuiltIn    bool
	Bytes      int64
	Missing    bool   // the file is not there
	Problem    string // why it is not usable; "" if it is
	Known      bool   // the catalogue has a model of this name

	Projector        string // path of the file that reads images, "" none
	ProjectorProblem string
}

// Hub is where models are pulled from.
type Hub struct {
	Err, Hint string // the address or the token can never work
	Refused   string // a download that the hub refused for want of a token; "" none
	Token     bool   // HF_TOKEN is set
}

// CheckModels judges the models that are configured and those in the folder.
func CheckModels(m Models) []Finding {
	const name = "models"
	var found []Finding
	if m.Err != "" {
		found = append(found, problem(name, "%s.", strings.TrimSuffix(m.Err, ".")).
			because("Nothing starts while it is not clear which model a name means.").
			mend(m.Hint, "See which there are: jeantrail-ai model list"))
	}
	sound := 0
	var bytes int64
	for _, model := range m.List {
		bad := model.findings()
		if len(bad) == 0 {
			sound, bytes = sound+1, bytes+model.Bytes
		}
		found = append(found, bad...)
	}
	found = append(found, m.Hub.findings()...)
	text := fmt.Sprintf("%s sound, %s in all", plural(sound, "model is", "models are"), jeantrail.Size(bytes))
	if len(m.List) == 0 {
		text = "There is none yet; the first start writes the one that is inside this program"
	}
	if m.Part {
		text += "; there was no time to look at the others"
	}
	return append([]Finding{good(name, "%s.", text)}, found...)
}

func (m Model) findings() []Finding {
	const name = "models"
	var found []Finding
	if m.Missing || m.Problem != "" {
		what := m.Problem
		if m.Missing {
			what = "the file " + m.Path + " is not there"
		}
		f := warning(name, "%s: %s.", m.Name, strings.TrimSuffix(what, ".")).
			because("Requests for it are refused.")
		switch {
		case m.BuiltIn:
			f = f.mend("Remove it, the next start writes it anew: rm " + quoted(m.Path))
		case m.Missing:
			f = f.mend("Bring the file there, or correct model_path of "+m.Name+" in config.yaml.", m.pull())
		case m.Configured:
			f = f.mend(m.pull(), "Or name another file as model_path of "+m.Name+" in config.yaml.")
		default:
			f = f.mend(m.pull(), "Or remove it: rm "+quoted(m.Path))
		}
		if m.Configured || m.Default || m.BuiltIn {
			f.Status = Problem
		}
		found = append(found, f)
	}
	if m.ProjectorProblem != "" {
		found = append(found, problem(name, "%s: the projector %s: %s.", m.Name, filepath.Base(m.Projector), strings.TrimSuffix(m.ProjectorProblem, ".")).
			because("The model does not load with it.").
			mend("Correct mmproj_path of "+m.Name+" in config.yaml, or take it out: then the model reads no images."))
	}
	return found
}

// pull is the command that brings the file again.
func (m Model) pull() string {
	if m.Known {
		return "jeantrail-ai model pull " + m.Name
	}
	return "Pull it again from where it came from: jeantrail-ai model pull --name " + m.Name + " hf:OWNER/REPOSITORY"
}

func (h Hub) findings() []Finding {
	var found []Finding
	if h.Err != "" {
		found = append(found, problem("hub", "%s.", strings.TrimSuffix(h.Err, ".")).because("No model can be pulled.").mend(h.Hint))
	}
	if h.Refused != "" && !h.Token {
		found = append(found, remark("hub", "The hub refused %s, and HF_TOKEN is not set.", h.Refused).
			because("Its owner lets only those fetch it who agreed to terms and say who they are.").
			mend("Agree on the model's page, make a token at https://huggingface.co/settings/tokens, then: export HF_TOKEN=hf_…"))
	}
	return found
}
