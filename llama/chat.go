//go:build cgo

package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"unsafe"
)

// ChatTemplate returns the Jinja source of the model's chat template, "" if it
// has none.
func (m *Model) ChatTemplate() string {
	if m.acquire() != nil {
		return ""
	}
	defer m.release()
	return C.GoString(C.lx_model_chat_template(m.c))
}

// RenderChat renders r with the model's chat template by llama.cpp's own Jinja
// engine. The template is parsed once for each model.
func (m *Model) RenderChat(r ChatRequest) (string, error) {
	if err := m.acquire(); err != nil {
		return "", &Error{Op: "render chat", Kind: err, Msg: "the model is closed"}
	}
	defer m.release()
	messages, tools, err := r.openAI()
	if err != nil {
		return "", fmt.Errorf("render chat: %w", err)
	}
	m.chat.once.Do(func() {
		var e errText
		msg, n := e.ptr()
		m.chat.err = e.fail("parse chat template", C.lx_chat_new(m.c, nil, &m.chat.c, msg, n))
	})
	if m.chat.err != nil {
		return "", m.chat.err
	}
	flags := C.uint32_t(C.LX_CHAT_RENDER_ONLY)
	if r.Analyze {
		flags = 0
	}
	if r.Thinking {
		flags |= C.LX_CHAT_THINKING
	}
	if !r.NoGenerationPrompt {
		flags |= C.LX_CHAT_GENERATION_PROMPT
	}
	return applyChat(m.chat.c, messages, tools, flags)
}

func applyChat(chat *C.lx_chat, messages, tools []byte, flags C.uint32_t) (string, error) {
	cm, ct := C.CString(string(messages)), C.CString(string(tools))
	defer C.free(unsafe.Pointer(cm))
	defer C.free(unsafe.Pointer(ct))
	var out *C.char
	var size C.int64_t
	var e errText
	msg, n := e.ptr()
	if err := e.fail("render chat", C.lx_chat_apply(chat, cm, ct, flags, &out, &size, msg, n)); err != nil {
		return "", err
	}
	defer C.lx_string_free(out)
	return string(unsafe.Slice((*byte)(unsafe.Pointer(out)), int(size))), nil
}

// SchemaToGrammar turns a JSON schema into GBNF for [SamplerParams.Grammar].
func SchemaToGrammar(schema []byte) (string, error) {
	if !json.Valid(schema) {
		return "", &Error{Op: "convert JSON schema", Kind: ErrArgument, Msg: "the schema is not valid JSON"}
	}
	in := C.CString(string(schema))
	defer C.free(unsafe.Pointer(in))
	var out *C.char
	var size C.int64_t
	var e errText
	msg, n := e.ptr()
	if err := e.fail("convert JSON schema", C.lx_schema_to_gbnf(in, &out, &size, msg, n)); err != nil {
		return "", err
	}
	defer C.lx_string_free(out)
	return string(unsafe.Slice((*byte)(unsafe.Pointer(out)), int(size))), nil
}
