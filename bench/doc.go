// Package bench measures how fast models answer, keeps what was measured with
// the facts it depends on, and sets two measurements side by side.
//
// There are four kinds of measurement, each over an interface or a protocol that
// the caller fills in:
//
//	raw      a Decoder's prefill (pp) and decode (tg), as llama-bench defines them
//	batched  the same of several sequences at once, as llama-batched-bench does
//	engine   an engine within this process, a Runner: the time to the first token
//	         cold, found in the KV cache and with a shared beginning, and of one that
//	         is a Demoter fetched from memory and from disk, streams side by side,
//	         and how soon a cancelled one makes room
//	http     any server over HTTP: ours, llama-server, Ollama, OpenAI-compatible
//
// All of them end in a Report. Write prints one as a table, Markdown, JSON, CSV
// or SQL, Read reads the JSON back, Run makes it ready to be kept in a database,
// Compare says which of its figures differ by more than chance, and Chart draws it.
//
// Times in reports are in milliseconds, speeds in tokens per second. The time to
// the first token counts from before the request is sent to the arrival of the
// first text; gaps are between the arrivals of one piece of text and the next,
// which most servers send for each token. What a run needs to warm up (the model
// to be loaded, pages to be read) is done by a request that does not count.
//
// It may import the root package, the standard library, go-pretty for tables,
// go-sse for streams and uuid for the ids of reports. It reads no facts of the
// machine and opens no model: the caller does, and tells.
//
// What must never happen here: a request that failed and is left out without
// being counted, a figure that was not measured shown as zero, two figures called
// different that chance explains, and a goroutine that outlives the call.
package bench
