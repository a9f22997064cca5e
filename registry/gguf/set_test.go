package gguf

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParsePart(t *testing.T) {
	for path, want := range map[string]struct {
		prefix      string
		part, parts int
	}{
		"m-00001-of-00003.gguf":                {"m", 1, 3},
		"/a/b/Q4_K_M/m-00003-of-00003.gguf":    {"/a/b/Q4_K_M/m", 3, 3},
		"m-00001-of-00002-00001-of-00001.gguf": {"m-00001-of-00002", 1, 1},
		`C:\models\m.x-00012-of-65535.gguf`:    {`C:\models\m.x`, 12, 65535},
	} {
		prefix, part, parts, ok := ParsePart(path)
		if !ok || prefix != want.prefix || part != want.part || parts != want.parts {
			t.Errorf("%s: %q, %d of %d, %v", path, prefix, part, parts, ok)
		}
		if again := PartPath(prefix, part, parts); again != path {
			t.Errorf("%s is written %s", path, again)
		}
	}
	for _, path := range []string{
		"", "m.gguf", "-00001-of-00003.gguf", "/a/-00001-of-00003.gguf", `a\-00001-of-00003.gguf`, "m-00001-of-00003.GGUF", "m-00001-OF-00003.gguf",
		"m-0001-of-0003.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-00001-of-00000.gguf", "m-0000x-of-00003.gguf",
		"m_00001-of-00003.gguf", "m-00001-of-00003.gguf.partial", "m-+0001-of-00003.gguf",
	} {
		if prefix, part, parts, ok := ParsePart(path); ok {
			t.Errorf("%q is part %d of %d of %q", path, part, parts, prefix)
		}
	}
	if paths, err := PartPaths("/x/m-00001-of-00003.gguf"); err != nil || len(paths) != 3 || paths[2] != "/x/m-00003-of-00003.gguf" {
		t.Errorf("the parts are %v, %v", paths, err)
	}
	_, err := PartPaths("/x/m-00002-of-00003.gguf")
	if wantRefusal(t, err, ReasonSplit); !strings.Contains(err.(*Error).Hint, "/x/m-00001-of-00003.gguf") {
		t.Errorf("the hint does not name the first part: %q", err.(*Error).Hint)
	}
	wantRefusal(t, second2(PartPaths("m-00001-of-01000.gguf")), ReasonLimit)
}

func second2(_ []string, err error) error { return err }

// cut encodes a model in parts, which it lets change before.
func cut(t testing.TB, m *rawModel, parts int, change func(parts []*rawModel)) [][]byte {
	t.Helper()
	all := make([]*rawModel, parts)
	for i := range all {
		p := &rawModel{version: m.version}
		if i == 0 {
			p.keys, p.values = append(p.keys, m.keys...), append(p.values, m.values...)
		}
		p.add("split.no", ValueOf(uint16(i)))
		p.add("split.count", ValueOf(uint16(parts)))
		p.add("split.tensors.count", ValueOf(int32(len(m.tensors))))
		p.tensors = append(p.tensors, m.tensors[i*len(m.tensors)/parts:(i+1)*len(m.tensors)/parts]...)
		all[i] = p
	}
	if change != nil {
		change(all)
	}
	encoded := make([][]byte, len(all))
	for i, p := range all {
		encoded[i] = p.encode()
	}
	return encoded
}

// join reads parts and joins them.
func join(t testing.TB, encoded [][]byte) (*File, error) {
	t.Helper()
	files := make([]*File, len(encoded))
	for i, b := range encoded {
		f, err := parse(b)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	return Join(files)
}

// TestAJoinedModelIsTheWholeOne compares all that is asked of a model, whole, as
// Writer splits it, and with parts of other makers.
func TestAJoinedModelIsTheWholeOne(t *testing.T) {
	for name, m := range map[string]*rawModel{"dense": tinyModel(), "mixture": tinyMoE()} {
		raw := m.encode()
		whole := mustParse(t, raw)
		for i := range raw[whole.DataOffset:] { // data that a wrong offset would show
			raw[whole.DataOffset+int64(i)] = byte(i * 7)
		}
		for _, parts := range []int{2, 3, len(m.tensors)} {
			w, err := Copy(whole, bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			writers, err := w.Split(parts)
			if err != nil {
				t.Fatal(err)
			}
			encoded := make([][]byte, parts)
			for i, w := range writers {
				var b bytes.Buffer
				if _, err := w.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				encoded[i] = b.Bytes()
			}
			joined, err := join(t, encoded)
			if err != nil {
				t.Fatalf("%s in %d parts: %v", name, parts, err)
			}
			sameModel(t, whole, joined, raw, bytes.Join(encoded, nil))
		}
	}
	for name, change := range map[string]func([]*rawModel){
		"no tensors in the first": func(p []*rawModel) { p[1].tensors, p[0].tensors = append(p[0].tensors, p[1].tensors...), nil },
		"none in the last":        func(p []*rawModel) { p[1].tensors, p[2].tensors = append(p[1].tensors, p[2].tensors...), nil },
		"a version of its own":    func(p []*rawModel) { p[1].version = 2 },
		"the same name in it":     func(p []*rawModel) { p[1].add("general.name", ValueOf("tiny")) },
		"an alignment of its own": func(p []*rawModel) {
			p[2].tensors = nil
			p[2].add("general.alignment", ValueOf(uint32(64)))
			p[1].tensors = append(p[1].tensors, tinyModel().tensors[16:]...)
		},
	} {
		f, err := join(t, cut(t, tinyModel(), 3, change))
		if err == nil {
			err = Validate(f)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sameModel(t *testing.T, whole, joined *File, raw, parts []byte) {
	t.Helper()
	if err := Validate(joined); err != nil {
		t.Error(err)
	}
	a, b := Summarize(whole), Summarize(joined)
	if b.FileBytes != int64(len(parts)) {
		t.Errorf("the parts have %d bytes, it says %d", len(parts), b.FileBytes)
	}
	if a.Parameters != b.Parameters || a.WeightBytes != b.WeightBytes || a.Tensors != b.Tensors || a.Layers != b.Layers ||
		a.Vocabulary != b.Vocabulary || a.Quantization != b.Quantization || a.Tied != b.Tied {
		t.Errorf("whole %+v\njoined %+v", a, b)
	}
	opt := MemoryOptions{Context: 512}
	ma, errA := EstimateMemory(whole, opt)
	mb, errB := EstimateMemory(joined, opt)
	if errA != nil || errB != nil || ma != mb {
		t.Errorf("memory %+v, %v\njoined %+v, %v", ma, errA, mb, errB)
	}
	for i := range whole.Tensors {
		tensor := joined.Tensor(whole.Tensors[i].Name)
		x, _ := io.ReadAll(whole.Data(bytes.NewReader(raw), &whole.Tensors[i]))
		y, _ := io.ReadAll(joined.Data(bytes.NewReader(parts), tensor))
		if len(x) == 0 || !bytes.Equal(x, y) {
			t.Errorf("data of %s changed", tensor.Name)
		}
	}
}

func TestJoinRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(p []*rawModel)
		want   Reason
		says   string
	}{
		{"number as i32", func(p []*rawModel) { p[1].set("split.no", ValueOf(int32(1))) }, ReasonKeyType, "part 2 of 3: split.no is i32"},
		{"number as a list", func(p []*rawModel) { p[2].set("split.no", ValueOf([]uint16{2})) }, ReasonKeyType, "part 3 of 3"},
		{"no number", func(p []*rawModel) { p[1].del("split.no") }, ReasonMissingKey, "part 2 of 3"},
		{"no tensor count", func(p []*rawModel) { p[0].del("split.tensors.count") }, ReasonMissingKey, "part 1 of 3"},
		{"tensor count as u32", func(p []*rawModel) { p[0].set("split.tensors.count", ValueOf(uint32(24))) }, ReasonKeyType, "part 1 of 3"},
		{"a whole model among them", func(p []*rawModel) { p[1].del("split.count") }, ReasonSplit, "part 2 of 3 is no part"},
		{"another count", func(p []*rawModel) { p[1].set("split.count", ValueOf(uint16(2))) }, ReasonSplit, "part 2 of 3 is of a model split into 2"},
		{"two of one number", func(p []*rawModel) { p[2].set("split.no", ValueOf(uint16(1))) }, ReasonSplit, "part 3 of 3 is part 2"},
		{"swapped", func(p []*rawModel) { p[0], p[1] = p[1], p[0] }, ReasonSplit, "part 1 of 3 is part 2"},
		{"a part of a larger model", func(p []*rawModel) { p[1].set("split.tensors.count", ValueOf(int32(99))) }, ReasonSplit, `differ in "split.tensors.count"`},
		{"a part of another model", func(p []*rawModel) { p[1].add("general.name", ValueOf("other")) }, ReasonSplit, `part 2 of 3 is of another model than part 1: they differ in "general.name"`},
		{"a tensor twice", func(p []*rawModel) { p[2].tensors[0] = p[0].tensors[0] }, ReasonDuplicateTensor, "token_embd.weight"},
		{"a tensor too few", func(p []*rawModel) { p[1].tensors = p[1].tensors[1:] }, ReasonMissingTensor, "have 23 tensors"},
		{"a tensor too many", func(p []*rawModel) {
			p[0].tensors = append(p[0].tensors, Tensor{Name: "x", Type: TypeF32, Dims: []int64{1}})
		}, ReasonMissingTensor, "24 in all"},
		{"negative tensor count", func(p []*rawModel) {
			for _, one := range p {
				one.set("split.tensors.count", ValueOf(int32(-1)))
			}
		}, ReasonMissingKey, "split.tensors.count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := join(t, cut(t, tinyModel(), 3, tt.change))
			wantRefusal(t, err, tt.want)
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it says %q, not %q", err, tt.says)
			}
		})
	}
	wantRefusal(t, second(Join(nil)), ReasonLimit)
	wantRefusal(t, second(Join(make([]*File, MaxParts+1))), ReasonLimit)
	huge := func(no uint16) *File {
		f := mustParse(t, cut(t, &rawModel{version: 3}, 2, nil)[no])
		f.Size = math.MaxInt64 - 1
		return f
	}
	wantRefusal(t, second(Join([]*File{huge(0), huge(1)})), ReasonOverflow)
	// What the parts hold in all is looked at like a whole model.
	f, err := join(t, cut(t, tinyModel(), 3, func(p []*rawModel) { p[2].tensors[0].Name = "blk.9.attn_q.weight" }))
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, Validate(f), ReasonMissingTensor)
}

// TestTensorsLieWhereTheyCanBeMapped: ggml aborts on a buffer that begins at an
// odd address.
func TestTensorsLieWhereTheyCanBeMapped(t *testing.T) {
	for pad := range 4 { // moves the data by 8 bytes each
		var w Writer
		f := mustParse(t, tinyModel().encode())
		for key, v := range f.Metadata.All() {
			if err := w.Set(key, v); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Set("general.alignment", ValueOf(uint32(8))); err != nil {
			t.Fatal(err)
		}
		if err := w.Set("pad", ValueOf(strings.Repeat("x", 8*pad))); err != nil {
			t.Fatal(err)
		}
		for _, tensor := range f.Tensors {
			if err := w.Add(tensor.Name, tensor.Type, tensor.Dims, zeros(int(tensor.Bytes))); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		if _, err := w.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		file := mustParse(t, b.Bytes())
		err := Validate(file)
		if file.DataOffset%mapAlignment == 0 {
			if err != nil {
				t.Errorf("data at %d: %v", file.DataOffset, err)
			}
			continue
		}
		wantRefusal(t, err, ReasonAlignment)
	}
}

func TestOpenModel(t *testing.T) {
	put := func(t *testing.T, names map[string][]byte) string {
		t.Helper()
		dir := t.TempDir()
		for name, b := range names {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	p := cut(t, tinyModel(), 3, nil)
	const one, two, three = "m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"
	dir := put(t, map[string][]byte{one: p[0], two: p[1], three: p[2], "renamed.gguf": p[0], "bad-00001-of-00003.GGUF": p[0]})
	set, err := OpenModel(filepath.Join(dir, one))
	if err != nil || len(set.Parts) != 3 || filepath.Base(set.Paths[2]) != three || len(set.Model.Tensors) != 24 {
		t.Fatalf("set %+v, %v", set, err)
	}
	if s, err := Inspect(filepath.Join(dir, one)); err != nil || s.Layers != 2 {
		t.Errorf("summary %+v, %v", s, err)
	}
	for name, tt := range map[string]struct {
		names map[string][]byte
		open  string
		want  Reason
		says  string
	}{
		"another part":            {map[string][]byte{one: p[0], two: p[1], three: p[2]}, two, ReasonSplit, "part 2 of a model"},
		"a part is missing":       {map[string][]byte{one: p[0], three: p[2]}, one, ReasonMissingPart, "not there: " + two},
		"two parts are missing":   {map[string][]byte{one: p[0]}, one, ReasonMissingPart, two + ", " + three},
		"the first is missing":    {map[string][]byte{two: p[1], three: p[2]}, one, ReasonIO, ""},
		"a part of another model": {map[string][]byte{one: p[0], two: p[1], three: cut(t, tinyMoE(), 3, nil)[2]}, one, ReasonSplit, "part 3 of 3"},
		"a part that is cut off":  {map[string][]byte{one: p[0], two: p[1], three: p[2][:len(p[2])-40]}, one, ReasonTruncated, three},
		"a name of no part":       {map[string][]byte{"renamed.gguf": p[0]}, "renamed.gguf", ReasonSplit, "not beside it under the names"},
		"an ending in capitals":   {map[string][]byte{"m-00001-of-00003.GGUF": p[0], two: p[1], three: p[2]}, "m-00001-of-00003.GGUF", ReasonSplit, "not beside it"},
		"a whole model so named":  {map[string][]byte{"m-00001-of-00001.gguf": p[0]}, "m-00001-of-00001.gguf", ReasonSplit, "split into 3"},
		"whole models as parts":   {map[string][]byte{one: tinyModel().encode(), two: p[1], three: p[2]}, one, ReasonSplit, "is no part"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Inspect(filepath.Join(put(t, tt.names), tt.open))
			wantRefusal(t, err, tt.want)
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it says %q, not %q", err, tt.says)
			}
			if tt.want == ReasonIO && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v does not say that the file is missing", err)
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	var w Writer
	for _, name := range []string{"a", "b"} {
		if err := w.Add(name, TypeF32, []int64{3}, zeros(12)); err != nil {
			t.Fatal(err)
		}
	}
	for _, parts := range []int{-1, 0, 1, 3} {
		if _, err := w.Split(parts); err == nil {
			t.Errorf("two tensors in %d parts", parts)
		}
	}
	if err := w.Set("split.no", ValueOf(uint16(0))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Split(2); err == nil {
		t.Error("a part was split again")
	}
}

func TestAProjectorIsInOneFile(t *testing.T) {
	m := tinyProjector()
	m.add("split.no", ValueOf(uint16(0)))
	m.add("split.count", ValueOf(uint16(2)))
	m.add("split.tensors.count", ValueOf(int32(len(m.tensors))))
	wantRefusal(t, ValidateProjector(mustParse(t, m.encode())), ReasonSplit)
}

// FuzzJoin holds Join to its promises on any two files: no panic, tensors inside
// the parts and none lost, and no part of which llama.cpp would read a number of
// another type.
func FuzzJoin(f *testing.F) {
	for _, m := range []*rawModel{shrink(tinyModel()), shrink(tinyMoE())} {
		p := cut(f, m, 2, nil)
		f.Add(p[0], p[1])
		f.Add(p[0], p[0])
		p = cut(f, m, 2, func(p []*rawModel) { p[1].tensors, p[0].tensors = append(p[0].tensors, p[1].tensors...), nil })
		f.Add(p[0], p[1])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, err := parse(a)
		if err != nil {
			return
		}
		two, err := parse(b)
		if err != nil {
			return
		}
		model, err := Join([]*File{one, two})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" || e.Message == "" || e.Hint == "" {
				t.Fatalf("incomplete error %#v", err)
			}
			return
		}
		if len(model.Tensors) != len(one.Tensors)+len(two.Tensors) || model.Size != int64(len(a)+len(b)) {
			t.Fatalf("%d tensors in %d bytes", len(model.Tensors), model.Size)
		}
		for i, part := range []*File{one, two} {
			if no, ok := Get[uint16](&part.Metadata, "split.no"); !ok || int(no) != i {
				t.Fatalf("part %d was accepted as %d, %v", i, no, ok)
			}
		}
		for _, tensor := range model.Tensors {
			if end := model.DataOffset + tensor.Offset + tensor.Bytes; tensor.Offset < 0 || end > model.Size || end < 0 {
				t.Fatalf("tensor %q ends at %d of %d", tensor.Name, end, model.Size)
			}
		}
		Summarize(model)
		if Validate(model) == nil {
			if _, err := EstimateMemory(model, MemoryOptions{}); err != nil {
				t.Fatalf("accepted, but its memory is unknown: %v", err)
			}
		}
	})
}
