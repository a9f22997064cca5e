//go:build cgo

package llama

/*
#cgo CXXFLAGS: -std=c++17 -O3 -Wall -Wextra
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// progressEvery is how often a load's progress is read. llama.cpp counts it
// tensor by tensor; nobody sees more than this.
const progressEvery = 50 * time.Millisecond

// errText is room for a message from the shim.
type errText [1024]C.char

func (e *errText) ptr() (*C.char, C.int32_t) { return &e[0], C.int32_t(len(e)) }

// fail makes an error of a status and the message in e; nil if it is LX_OK.
func (e *errText) fail(op string, status C.int32_t) error {
	if status == C.LX_OK {
		return nil
	}
	return statusError(op, status, C.GoString(&e[0]))
}

func statusError(op string, status C.int32_t, msg string) error {
	kind := ErrFailed
	switch status {
	case C.LX_E_ARG, C.LX_E_NOMEM:
		kind = ErrArgument
	case C.LX_E_EXCEPTION:
		kind = ErrException
	case C.LX_E_CANCELLED:
		kind = context.Canceled
	}
	return &Error{Op: op, Kind: kind, Msg: msg}
}

func cbool(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

// Model is a loaded model. Any goroutine may use it.
type Model struct {
	handle
	c     *C.lx_model
	info  ModelInfo
	vocab *Vocab
	chat  struct {
		once sync.Once
		c    *C.lx_chat
		err  error
	}
	leak *leakAlarm
}

// LoadModel loads a GGUF file; it blocks until that is done. progress, if not
// nil, is called from another goroutine with values from 0 to 1, the last of them
// before LoadModel returns. When ctx ends the load is abandoned and the error is
// ctx's cause.
func LoadModel(ctx context.Context, p ModelParams, progress func(float64)) (*Model, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	cp, free, err := p.toC()
	if err != nil {
		return nil, err
	}
	defer free()

	load := C.lx_load_new()
	if load == nil {
		return nil, &Error{Op: "load model", Kind: ErrFailed, Msg: "out of memory"}
	}
	defer C.lx_load_free(load)
	stop := watchLoad(ctx, load, progress)
	var c *C.lx_model
	var e errText
	msg, n := e.ptr()
	status := C.lx_model_load(&cp, load, &c, msg, n)
	stop()
	if status == C.LX_E_CANCELLED {
		return nil, fmt.Errorf("load model: %w", context.Cause(ctx))
	}
	if err := e.fail("load model", status); err != nil {
		return nil, err
	}

	m := &Model{c: c, info: modelInfo(c)}
	if m.vocab, err = exportVocab(m); err != nil {
		C.lx_model_free(c)
		return nil, err
	}
	m.leak = watchLeak(m, "model", 1)
	if progress != nil {
		progress(1)
	}
	return m, nil
}

// toC copies p to C; free gives back what that took.
func (p ModelParams) toC() (cp C.lx_model_params, free func(), err error) {
	if (p.Path == "") == (p.Data == "") {
		return cp, nil, &Error{Op: "load model", Kind: ErrArgument, Msg: "give either a path or the model's bytes"}
	}
	var pin runtime.Pinner
	var path *C.char
	if p.Path != "" {
		path = C.CString(p.Path)
	} else {
		data := unsafe.StringData(p.Data)
		pin.Pin(data)
		cp.data = unsafe.Pointer(data)
		cp.data_len = C.int64_t(len(p.Data))
	}
	cp.path = path
	cp.n_gpu_layers = C.int32_t(p.GPULayers)
	cp.main_gpu = C.int32_t(p.MainGPU)
	cp.split_mode = 1 // LLAMA_SPLIT_MODE_LAYER
	cp.load_mode = C.int32_t(p.Load)
	cp.use_extra_bufts = cbool(!p.NoRepack)
	cp.check_tensors = cbool(p.CheckTensors)
	cp.vocab_only = cbool(p.VocabOnly)
	cp.cpu_only = cbool(p.GPULayers == 0)
	cp.fit_context = p.Fit.withDefaults().toC()
	return cp, func() {
		C.free(unsafe.Pointer(path))
		pin.Unpin()
	}, nil
}

// watchLoad reports progress and passes on the end of ctx until stop, which
// waits for it to be over, so that it never touches a freed load.
func watchLoad(ctx context.Context, load *C.lx_load, progress func(float64)) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		cancelled := ctx.Done()
		for {
			select {
			case <-done:
				return
			case <-cancelled:
				C.lx_load_cancel(load)
				cancelled = nil
			case <-tick.C:
				if progress != nil {
					progress(float64(C.lx_load_progress(load)))
				}
			}
		}
	}()
	return func() {
		close(done)
		<-over
	}
}

func modelInfo(c *C.lx_model) ModelInfo {
	var i C.lx_model_info
	C.lx_model_get_info(c, &i)
	return ModelInfo{
		Architecture: C.GoString(&i.architecture[0]),
		Name:         C.GoString(&i.name[0]),
		Description:  C.GoString(&i.description[0]),
		Device:       C.GoString(&i.device[0]),
		NVocab:       int(i.n_vocab),
		NCtxTrain:    int(i.n_ctx_train),
		NEmbd:        int(i.n_embd),
		NLayer:       int(i.n_layer),
		NHead:        int(i.n_head),
		NHeadKV:      int(i.n_head_kv),
		FType:        FType(i.ftype),
		Offloaded:    int(i.n_layers_offloaded),
		NParams:      int64(i.n_params),
		Bytes:        int64(i.n_bytes),
	}
}

// Info describes the model.
func (m *Model) Info() ModelInfo { return m.info }

// Vocab is the model's vocabulary. Its look-ups outlive the model, Tokenize does
// not.
func (m *Model) Vocab() *Vocab { return m.vocab }

// Meta returns a value of the file's metadata as text.
func (m *Model) Meta(key string) (string, bool) {
	if m.acquire() != nil {
		return "", false
	}
	defer m.release()
	k := C.CString(key)
	defer C.free(unsafe.Pointer(k))
	buf := make([]byte, 256)
	for {
		n := int(C.lx_model_meta(m.c, k, (*C.char)(unsafe.Pointer(&buf[0])), C.int32_t(len(buf))))
		if n < 0 {
			return "", false
		}
		if n < len(buf) {
			return string(buf[:n]), true
		}
		buf = make([]byte, n+1)
	}
}

// Close frees the model. It fails with [ErrInUse] while contexts are open or
// calls are running, and is idempotent.
func (m *Model) Close() error {
	free, err := m.handle.close()
	if err != nil {
		return fmt.Errorf("close model: %w", err)
	}
	if free {
		C.lx_chat_free(m.chat.c)
		C.lx_model_free(m.c)
		m.leak.closed.Store(true)
	}
	return nil
}

// Quantize writes the GGUF file in again at out with another type; it blocks,
// and computes on nThreads threads (0: all). Files that are quantised already
// are refused unless requantize is set, which loses quality.
func Quantize(in, out string, ftype FType, nThreads int, requantize bool) error {
	cin, cout := C.CString(in), C.CString(out)
	defer C.free(unsafe.Pointer(cin))
	defer C.free(unsafe.Pointer(cout))
	var e errText
	msg, n := e.ptr()
	return e.fail("quantize", C.lx_quantize(cin, cout, C.int32_t(ftype), C.int32_t(nThreads), cbool(requantize), msg, n))
}
