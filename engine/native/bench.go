package native

import "time"

// BenchPrompt evaluates n random tokens as llama-bench's pp test does. Like all
// benchmarks it empties the KV cache; the first run warms up and does not count.
// All of them compute on the calling thread, which the goroutine does not leave
// any more: on another one there would be a second pool of compute threads.
func (d *Decoder) BenchPrompt(n int) (time.Duration, error) {
	d.share.hold()
	return d.context.BenchPrompt(n)
}

// BenchGenerate evaluates n random tokens one by one as llama-bench's tg test does.
func (d *Decoder) BenchGenerate(n int) (time.Duration, error) {
	d.share.hold()
	return d.context.BenchGenerate(n)
}

// BenchBatched does what llama-batched-bench does.
func (d *Decoder) BenchBatched(nPrompt, nGen, nSeq int, shared bool) (prompt, gen time.Duration, err error) {
	d.share.hold()
	return d.context.BenchBatched(nPrompt, nGen, nSeq, shared)
}
