//go:build cgo

package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"encoding/binary"
	"log/slog"
	"unsafe"
)

// DrainLog takes what llama.cpp logged since the last call, oldest first, and how
// many records were lost because nobody drained them in time.
func DrainLog() (records []LogRecord, dropped int) {
	buf := make([]byte, 64<<10)
	for {
		var lost C.int64_t
		n := int(C.lx_log_drain((*C.uint8_t)(&buf[0]), C.int32_t(len(buf)), &lost))
		dropped += int(lost)
		if n == 0 {
			return joinLines(records), dropped
		}
		for at := 0; at < n; {
			size := int(binary.NativeEndian.Uint32(buf[at+1:]))
			records = append(records, LogRecord{Level: ggmlLevel(buf[at]), Text: string(buf[at+5 : at+5+size])})
			at += 5 + size
		}
	}
}

// ggmlLevel maps a ggml_log_level.
func ggmlLevel(level byte) slog.Level {
	switch level {
	case 2:
		return slog.LevelInfo
	case 3:
		return slog.LevelWarn
	case 4:
		return slog.LevelError
	}
	return slog.LevelDebug
}

// SetCrashFile names the file that llama.cpp's last words are appended to when
// it stops the process, besides standard error.
func SetCrashFile(path string) error {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	C.lx_init()
	if C.lx_set_crash_file(c) != C.LX_OK {
		return &Error{Op: "set crash file", Kind: ErrArgument, Msg: "the path is too long"}
	}
	return nil
}
