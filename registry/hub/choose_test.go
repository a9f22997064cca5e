package hub

import (
	"strings"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
)

func TestChoose(t *testing.T) {
	const (
		usual  = "m-Q4_K_M.gguf m-Q8_0.gguf m-Q4_K_S.gguf m-IQ4_NL.gguf m-UD-Q4_K_XL.gguf mmproj-F16.gguf README.md"
		nested = "BF16/m-BF16-00001-of-00002.gguf BF16/m-BF16-00002-of-00002.gguf Q4_K_M/a.gguf"
		torn   = "m-Q4_K_M-00001-of-00003.gguf m-Q4_K_M-00003-of-00003.gguf"
	)
	for _, test := range []struct {
		files, selector string
		want            string // the first file, or what the error says
		code            jeantrail.Code
		note            string
	}{
		{files: usual, want: "m-Q4_K_M.gguf"},
		{files: usual, selector: ":Q8_0", want: "m-Q8_0.gguf"},
		{files: usual, selector: ":iq4_nl", want: "m-IQ4_NL.gguf"},
		{files: usual, selector: ":Q4_K_XL", want: "m-UD-Q4_K_XL.gguf"},
		{files: usual, selector: ":m-Q4_K_S.gguf", want: "m-Q4_K_S.gguf"},
		{files: usual, selector: ":Q4_K", want: "There are: m-Q4_K_M.gguf, m-Q8_0.gguf", code: jeantrail.CodeNotFound},
		{files: usual, selector: ":Q4_NL", want: "has no model in Q4_NL", code: jeantrail.CodeNotFound},
		{files: usual, selector: ":F16", want: "has no model in F16", code: jeantrail.CodeNotFound},
		{files: nested, want: "Q4_K_M/a.gguf"},
		{files: nested, selector: ":BF16", want: "BF16/m-BF16-00001-of-00002.gguf"},
		{files: nested, selector: ":Q2_K", want: "BF16/m-BF16-00001-of-00002.gguf (2 parts), Q4_K_M/a.gguf", code: jeantrail.CodeNotFound},
		{files: torn, want: "lacks parts of its split models: m-Q4_K_M", code: jeantrail.CodeNotFound},
		{files: "model.gguf", want: "model.gguf", note: "taking the only model"},
		{files: "MODEL.Q4_K_M.GGUF", want: "MODEL.Q4_K_M.GGUF"},
		{files: "model.gguf", selector: ":Q4_K_M", want: "has no model in Q4_K_M", code: jeantrail.CodeNotFound},
		{files: "a-Q4_K_M.gguf b-Q4_K_M.gguf", want: "a-Q4_K_M.gguf, b-Q4_K_M.gguf", code: jeantrail.CodeInvalid},
		{files: "x/m.gguf y/m.gguf", selector: ":m.gguf", want: "x/m.gguf, y/m.gguf", code: jeantrail.CodeInvalid},
		{files: "m-00000-of-00002.gguf m-00001-of-00000.gguf", want: "has no GGUF file", code: jeantrail.CodeNotFound},
		{files: "mmproj-F16.gguf", want: "has no GGUF file", code: jeantrail.CodeNotFound},
		{files: "", want: "This one has: nothing", code: jeantrail.CodeNotFound},
	} {
		s, err := ParseSource("hf:a/b" + test.selector)
		if err != nil {
			t.Fatal(err)
		}
		m, note, err := choose(s, filesOf(test.files))
		switch e := jeantrail.AsError(err); {
		case test.code == "" && (err != nil || m.parts[0].Path != test.want || !strings.Contains(note, test.note)):
			t.Errorf("%s of %s: %+v, %q, %v", test.selector, test.files, m, note, err)
		case test.code != "" && (e.Code != test.code || !strings.Contains(e.Message+" "+e.Hint, test.want)):
			t.Errorf("%s of %s: %s %q, hint %q", test.selector, test.files, e.Code, e.Message, e.Hint)
		}
	}
}

func TestChooseProjector(t *testing.T) {
	s := Source{Repo: "a/b"}
	for _, test := range []struct{ files, wanted, want string }{
		{"m.gguf", "", ""},
		{"m.gguf mmproj-F16.gguf", "", "mmproj-F16.gguf"},
		{"m.gguf mmproj-F16.gguf", "none", ""},
		{"m.gguf mmproj-Q8_0.gguf mmproj-F32.gguf mmproj-BF16.gguf", "", "mmproj-BF16.gguf"},
		{"m.gguf sub/x.mmproj-f16.gguf mmproj-F32.gguf", "", "sub/x.mmproj-f16.gguf"},
		{"m.gguf mmproj-F16.gguf mmproj-F32.gguf", "mmproj-F32.gguf", "mmproj-F32.gguf"},
		{"m.gguf sub/eyes.gguf mmproj-F32.gguf", "eyes.gguf", "sub/eyes.gguf"},
	} {
		f, _, err := chooseProjector(s, test.wanted, filesOf(test.files))
		got := ""
		if f != nil {
			got = f.Path
		}
		if err != nil || got != test.want {
			t.Errorf("%q of %s: %q, %v", test.wanted, test.files, got, err)
		}
	}
	_, _, err := chooseProjector(s, "x.gguf", filesOf("m.gguf mmproj-F16.gguf"))
	if e := jeantrail.AsError(err); e.Code != jeantrail.CodeNotFound || !strings.Contains(e.Hint, "mmproj-F16.gguf") {
		t.Errorf("a projector that is not there: %v, %q", err, e.Hint)
	}
}

func filesOf(names string) (files []remoteFile) {
	for _, n := range strings.Fields(names) {
		files = append(files, remoteFile{Path: n, Bytes: 1})
	}
	return files
}
