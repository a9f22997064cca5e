package media

import (
	"bytes"
	"io"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// A spool is a file, whether it is in memory or has gone to the disk.
func TestSpoolIsAFile(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s := &spool{folder: folder}
		defer s.Close()
		var want []byte
		at := 0
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "seek") {
				at = rapid.IntRange(0, len(want)).Draw(t, "to")
				if _, err := s.Seek(int64(at), io.SeekStart); err != nil {
					t.Fatal(err)
				}
			}
			chunk := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{1, 100, spoolMemory / 3, spoolMemory}).Draw(t, "size"))
			if n, err := s.Write(chunk); n != len(chunk) || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
			want = append(want[:at], append(bytes.Clone(chunk), want[min(len(want), at+len(chunk)):]...)...)
			at += len(chunk)
		}
		if err := s.rewind(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, want) || s.size != int64(len(want)) {
			t.Fatalf("%d bytes, %v, want %d", len(got), err, len(want))
		}
		if (s.file != nil) != (len(want) > spoolMemory) {
			t.Fatalf("%d bytes are on the disk: %v", len(want), s.file != nil)
		}
	})
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	s := &spool{}
	if _, err := s.Seek(1, io.SeekStart); err == nil {
		t.Error("a seek beyond the end went well")
	}
}
