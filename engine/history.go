package engine

// imageToken stands in a history for each row of an image. It is no token of
// any vocabulary.
const imageToken Token = -1

// history is what a sequence holds or will hold, row by row: tokens and, where
// imageToken stands, images.
type history struct {
	tokens []Token
	images []imageSpan // in order
}

// imageSpan is a part of an image among the rows of a history. It is one thing:
// no prefix ends within it.
type imageSpan struct {
	at   int // its first row
	rows int
	// positions is what it takes up of the sequence's positions: as many as rows,
	// but for models with positions on several axes.
	positions int
	key       imageKey
}

func (i imageSpan) end() int { return i.at + i.rows }

// imageKey says which image a part is of. Rows with the same key in the same
// model are the same.
type imageKey struct {
	sha256 string // of the file
	part   int    // among the image's parts that are not text
}

// position is where row n of a history stands in the cache.
func (h *history) position(n int) int {
	p := n
	for _, i := range h.images {
		if i.end() <= n {
			p -= i.rows - i.positions
		}
	}
	return p
}

// imageAt is the index of the image that begins at row n, -1 if none does.
func (h *history) imageAt(n int) int {
	for k, i := range h.images {
		if i.at == n {
			return k
		}
	}
	return -1
}

// untilImage is how many rows there are from row n to the next image or the end.
func (h *history) untilImage(n int) int {
	for _, i := range h.images {
		if i.at >= n {
			return i.at - n
		}
	}
	return len(h.tokens) - n
}

// whole lowers n so that no image is cut.
func (h *history) whole(n int) int {
	for _, i := range h.images {
		if i.at < n && n < i.end() {
			return i.at
		}
	}
	return n
}

// cut drops the rows from n on, which must not cut an image.
func (h *history) cut(n int) {
	h.tokens = h.tokens[:n]
	for len(h.images) > 0 && h.images[len(h.images)-1].at >= n {
		h.images = h.images[:len(h.images)-1]
	}
}

// appendImage adds the rows of an image.
func (h *history) appendImage(rows, positions int, key imageKey) {
	h.images = append(h.images, imageSpan{at: len(h.tokens), rows: rows, positions: positions, key: key})
	for range rows {
		h.tokens = append(h.tokens, imageToken)
	}
}

// commonPrefix is the length of the longest common prefix of two histories:
// equal tokens, and the same images at the same rows.
func commonPrefix(a, b *history) int {
	n := min(len(a.tokens), len(b.tokens))
	for i := range n {
		if a.tokens[i] != b.tokens[i] {
			n = i
			break
		}
	}
	for k, i := range a.images {
		if i.at >= n {
			break
		}
		if k >= len(b.images) || b.images[k] != i {
			return i.at
		}
	}
	return a.whole(n)
}
