package enginetest

import (
	"fmt"

	"github.com/jeantrail/jeantrail-ai/engine"
)

// cell is one place of the KV cache; several sequences may hold it.
type cell struct {
	token engine.Token
	pos   int
	next  int // the position behind what the cell is of, a token or an image
	refs  int
}

// cache is a KV cache that knows the rules.
type cache struct {
	unified bool
	ctx     int // cells in all, if unified
	ctxSeq  int
	seqs    [][]*cell
	used    int  // cells that some sequence holds
	copying bool // sequences were copied between streams, and nothing was evaluated since
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
	end := c.end(seq)
	if p1 >= 0 && p1 < end {
		return fmt.Errorf("remove [%d, %d) would leave a gap in sequence %d, which ends at %d", p0, p1, seq, end)
	}
	n, err := c.cells(seq, p0)
	if err != nil {
		return fmt.Errorf("remove from %d on: %w", p0, err)
	}
	for _, x := range c.seqs[seq][n:] {
		if x.refs--; x.refs == 0 {
			c.used--
		}
	}
	c.seqs[seq] = c.seqs[seq][:n]
	return nil
}

// end is the position at which a sequence goes on.
func (c *cache) end(seq int) int {
	if n := len(c.seqs[seq]); n > 0 {
		return c.seqs[seq][n-1].next
	}
	return 0
}

// cells is how many cells of a sequence lie before a position.
func (c *cache) cells(seq, p int) (int, error) {
	if p < 0 || p > c.end(seq) {
		return 0, fmt.Errorf("sequence %d ends at %d", seq, c.end(seq))
	}
	n := 0
	for _, x := range c.seqs[seq] {
		switch {
		case x.next <= p:
			n++
		case x.pos < p:
			return 0, fmt.Errorf("position %d is within an image of sequence %d", p, seq)
		}
	}
	return n, nil
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
		var err error
		if n, err = c.cells(op.Seq, op.P1); err != nil {
			return fmt.Errorf("copy of [%d, %d): %w", op.P0, op.P1, err)
		}
	}
	if op.P0 != 0 {
		return fmt.Errorf("copy of [%d, %d) of sequence %d", op.P0, op.P1, op.Seq)
	}
	if !c.unified && op.P1 >= 0 {
		return fmt.Errorf("copy of a part of sequence %d between streams", op.Seq)
	}
	for _, x := range c.seqs[op.Seq][:n] {
		if c.unified {
			x.refs++
		} else {
			x = &cell{token: x.token, pos: x.pos, next: x.next, refs: 1}
			c.used++
		}
		c.seqs[op.Dst] = append(c.seqs[op.Dst], x)
	}
	c.copying = c.copying || !c.unified
	return nil
}

// room reports whether the spans fit.
func (c *cache) room(spans []engine.Span) bool {
	rows := 0
	for _, s := range spans {
		n := len(s.Tokens)
		if s.Image != nil {
			n = s.Image.NRows
		}
		rows += n
		if len(c.seqs[s.Seq])+n > c.ctxSeq {
			return false
		}
	}
	return !c.unified || c.used+rows <= c.ctx
}

func (c *cache) extend(seq int, t engine.Token) {
	p := c.end(seq)
	c.seqs[seq] = append(c.seqs[seq], &cell{token: t, pos: p, next: p + 1, refs: 1})
	c.used++
}

// extendImage adds an image: cells that share a position, and take up several.
func (c *cache) extendImage(seq int, i *engine.ImageRows) {
	p := c.end(seq)
	for _, x := range i.Embd {
		c.seqs[seq] = append(c.seqs[seq], &cell{token: engine.Token(x), pos: p, next: p + i.NPos, refs: 1})
		c.used++
	}
}

func (c *cache) tokens(seq int) []engine.Token {
	tokens := make([]engine.Token, len(c.seqs[seq]))
	for i, x := range c.seqs[seq] {
		tokens[i] = x.token
	}
	return tokens
}
