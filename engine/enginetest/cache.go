package enginetest

import (
	"fmt"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// cell is one place of the KV cache; several sequences may hold it.
type cell struct {
	token engine.Token
	refs  int
}

// cache is a KV cache that knows the rules.
type cache struct {
	unified bool
	ctx     int // cells in all, if unified
	ctxSeq  int
	seqs    [][]*cell
	used    int // cells that some sequence holds
}

func (c *cache) apply(op engine.MemOp) error {
	if op.Seq < 0 || op.Seq >= len(c.seqs) {
		return fmt.Errorf("operation on sequence %d of %d", op.Seq, len(c.seqs))
	}
	switch op.Kind {
	case engine.MemRemove:
		return c.remove(op.Seq, op.P0, op.P1)
	case engine.MemCopy:
		return c.copy(op)
	}
	return fmt.Errorf("operation %d is not known", op.Kind)
}

func (c *cache) remove(seq, p0, p1 int) error {
	n := len(c.seqs[seq])
	if p1 >= 0 && p1 < n {
		return fmt.Errorf("remove [%d, %d) would leave a gap in sequence %d of %d tokens", p0, p1, seq, n)
	}
	if p0 < 0 || p0 > n {
		return fmt.Errorf("remove from %d on in sequence %d of %d tokens", p0, seq, n)
	}
	for _, x := range c.seqs[seq][p0:] {
		if x.refs--; x.refs == 0 {
			c.used--
		}
	}
	c.seqs[seq] = c.seqs[seq][:p0]
	return nil
}

func (c *cache) copy(op engine.MemOp) error {
	if op.Dst < 0 || op.Dst >= len(c.seqs) || op.Dst == op.Seq {
		return fmt.Errorf("copy of sequence %d to %d", op.Seq, op.Dst)
	}
	if len(c.seqs[op.Dst]) > 0 {
		return fmt.Errorf("copy to sequence %d, which holds %d tokens", op.Dst, len(c.seqs[op.Dst]))
	}
	n := len(c.seqs[op.Seq])
	if op.P1 >= 0 {
		n = op.P1
	}
	if op.P0 != 0 || n > len(c.seqs[op.Seq]) {
		return fmt.Errorf("copy of [%d, %d) of sequence %d, which has %d tokens", op.P0, op.P1, op.Seq, len(c.seqs[op.Seq]))
	}
	if !c.unified && op.P1 >= 0 {
		return fmt.Errorf("copy of a part of sequence %d between streams", op.Seq)
	}
	for _, x := range c.seqs[op.Seq][:n] {
		if c.unified {
			x.refs++
		} else {
			x = &cell{token: x.token, refs: 1}
			c.used++
		}
		c.seqs[op.Dst] = append(c.seqs[op.Dst], x)
	}
	return nil
}

// room reports whether the spans fit.
func (c *cache) room(spans []engine.Span) bool {
	rows := 0
	for _, s := range spans {
		rows += len(s.Tokens)
		if len(c.seqs[s.Seq])+len(s.Tokens) > c.ctxSeq {
			return false
		}
	}
	return !c.unified || c.used+rows <= c.ctx
}

func (c *cache) extend(seq int, t engine.Token) {
	c.seqs[seq] = append(c.seqs[seq], &cell{token: t, refs: 1})
	c.used++
}

func (c *cache) tokens(seq int) []engine.Token {
	tokens := make([]engine.Token, len(c.seqs[seq]))
	for i, x := range c.seqs[seq] {
		tokens[i] = x.token
	}
	return tokens
}
