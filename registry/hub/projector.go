package hub

import (
	"os"
	"path/filepath"
)

// ProjectorOf returns the path of the projector that a pull put beside the model
// at path, "" if there is none. It is called as the model is, whatever the number
// of the model's parts.
func ProjectorOf(path string) string {
	name, err := parseFileName(filepath.Base(path))
	if err != nil || name.text == name.model+projectorEnding {
		return "" // not a name that a pull gives to a model
	}
	eyes, err := newFileName(name.model, projector, 1, 1)
	if err != nil {
		return ""
	}
	beside := eyes.in(filepath.Dir(path))
	if info, err := os.Stat(beside); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return beside
}
