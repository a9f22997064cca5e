//go:build cgo

package llama

// #include "shim.h"
import "C"

// Test files cannot hold cgo, so what tests call in C stands here.

// throwForTest makes the shim throw behind its guard.
func throwForTest(kind int) error {
	var e errText
	msg, n := e.ptr()
	return e.fail("throw", C.lx_test_throw(C.int32_t(kind), msg, n))
}

// loadWithFlag loads with the cancel flag set from the start.
func loadWithFlag(path string) error {
	cp, free, err := ModelParams{Path: path}.toC()
	if err != nil {
		return err
	}
	defer free()
	load := C.lx_load_new()
	defer C.lx_load_free(load)
	C.lx_load_cancel(load)
	var c *C.lx_model
	var e errText
	msg, n := e.ptr()
	status := C.lx_model_load(&cp, load, &c, msg, n)
	if status == C.LX_OK {
		C.lx_model_free(c)
	}
	return e.fail("load model", status)
}

// crashForTest ends the process.
func crashForTest(kind int) { C.lx_test_crash(C.int32_t(kind)) }

// drawForTest draws from a row of logits, which it may change.
func (x *Context) drawForTest(id SamplerID, row []float32) (int32, error) {
	var token, status C.int32_t
	var e errText
	msg, n := e.ptr()
	rc := C.lx_test_draw(x.c, C.int32_t(id), (*C.float)(&row[0]), &token, &status, msg, n)
	if err := e.fail("draw", rc); err != nil {
		return 0, err
	}
	if status != C.LX_SAMPLED {
		return 0, ErrNotFinite
	}
	return int32(token), nil
}
