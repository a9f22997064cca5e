package gguf

// Head is the description of a file with the metadata set so far and no tensors,
// as Read would give it, without writing one: for sizing a model of which the
// shape is known and the file is not there. Later calls of Set do not change it.
func (w *Writer) Head() *File {
	f := &File{Version: 3, Alignment: DefaultAlignment}
	for _, key := range w.meta.keys {
		f.Metadata.set(key, w.meta.values[key])
	}
	if n, ok := Get[uint32](&f.Metadata, "general.alignment"); ok {
		f.Alignment = int64(n)
	}
	return f
}
