package engine

// planImage makes the batch of one image that is encoded, and reports whether
// there was one that fits.
func (s *scheduler) planImage() bool {
	for _, q := range s.prefilling() {
		k := q.imageAt(q.next())
		if k < 0 || q.encoded[k] == nil {
			continue
		}
		n := q.images[k].rows
		if missing := n - s.cells.room(); missing > 0 {
			s.evict(missing)
		}
		if n > s.cells.room() {
			continue
		}
		s.add(q, n)
		span := &s.batch.spans[len(s.batch.spans)-1]
		span.Tokens, span.Image = nil, q.encoded[k]
		s.batch.prefill, s.batch.image = n, true
		return true
	}
	return false
}

// want lists the images that are to be encoded next, one for each sequence: an
// image is encoded while what stands before it is evaluated.
func (s *scheduler) want() {
	for _, q := range s.prefilling() {
		for k, i := range q.images {
			if i.at >= q.next() && q.encoded[k] == nil {
				s.batch.wanted = append(s.batch.wanted, wanted{q, k})
				break
			}
		}
	}
}

// encoded hands out the rows of an image, by its parts, to every sequence that
// has the same before it.
func (s *scheduler) encoded(sha256 string, parts []ImageRows) {
	for _, q := range s.running {
		for k, i := range q.images {
			if i.key.sha256 == sha256 && i.at >= q.next() && i.key.part < len(parts) {
				q.encoded[k] = &parts[i.key.part]
			}
		}
	}
}
