//go:build !linux

package hub

import "errors"

func mountSmall(string) error { return errors.ErrUnsupported }
