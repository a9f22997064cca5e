// Package chat renders Qwen3's chat template natively, into segments that keep
// the template's control tokens apart from what people wrote. A prompt that
// contains "<|im_end|>" is therefore only text, whereas a rendered string that
// is tokenised as a whole would end the turn there.
//
// The renderer is for exactly the templates whose SHA-256 Known lists. It
// follows the Jinja source of Qwen3 line by line; testdata/cases.json holds
// conversations with the prompts that llama.cpp's own Jinja engine gives for
// them.
//
// The package imports the standard library only, keeps no state and does no
// I/O. What must never happen here: a caller's text in a Special segment.
package chat
