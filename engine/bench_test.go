package engine_test

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/enginetest"
)

// instant is a decoder that costs nothing: what is left is the engine's own
// time.
type instant struct {
	*enginetest.Fake
	info engine.Info
}

func (d *instant) Info() engine.Info { return d.info }

func (d *instant) Vocab() engine.Vocab { return pieces{} }

func (d *instant) Step(_ []engine.MemOp, spans []engine.Span, results []engine.Result) ([]engine.Result, engine.StepInfo, error) {
	for i, s := range spans {
		if s.Sample {
			results = append(results, engine.Result{Span: i, Token: 'a'})
		}
	}
	return results, engine.StepInfo{DecodeUS: 1000}, nil
}

// pieces is a vocabulary whose pieces are made once, as a real one's are.
type pieces struct{ enginetest.Vocab }

func (pieces) Piece(engine.Token) []byte { return word }

var word = []byte(" word")

// BenchmarkEngine measures the engine's own time for a token, from the decoder
// to the sink, with the given number of streams.
func BenchmarkEngine(b *testing.B) {
	for name, streams := range map[string]int{"1": 1, "16": 16} {
		b.Run(name, func(b *testing.B) {
			cells := (b.N + 8) * streams
			d := &instant{enginetest.New(enginetest.Config{}), engine.Info{
				NCtx: cells, NCtxSeq: cells, NSeqMax: streams, NBatch: 512, NUBatch: 512, Unified: true}}
			e, err := engine.New(d, engine.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Start(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			r := &rig{Engine: e}
			var runs []<-chan outcome
			for range streams {
				runs = append(runs, r.spawn(b.Context(), job(raw("x", b.N), ""), &sink{}))
			}
			for _, c := range runs {
				if o := <-c; o.err != nil {
					b.Fatal(o.err)
				}
			}
			b.StopTimer()
			if err := e.Stop(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
