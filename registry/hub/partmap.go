package hub

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/jeantrail/jeantrail-ai"
)

// What lies in the folder of unfinished pulls, for a file NAME:
//
//   - NAME.partial, the file, with its full size from the beginning;
//   - NAME.map, what it is a copy of and how much of each part is safe on the
//     disk; replaced whole;
//   - NAME.progress, how much of each part was written, 8 bytes for each, after
//     16 bytes that tie it to the map; written in place, after the bytes it
//     counts.
//
// A process that is killed loses nothing that it handed to the system, so the
// progress holds as long as the machine was not started again; after that, only
// the map does.
const (
	incomingFolder = ".incoming"
	partialEnding  = ".partial"
	mapEnding      = ".map"
	progressEnding = ".progress"
	lockEnding     = ".lock"

	mapVersion  = 1
	tieBytes    = 16
	maxMapBytes = 16 << 20
	// progressEvery is how many bytes a part grows by before it is noted.
	progressEvery = 64 << 10
)

// partMap is the content of NAME.map.
type partMap struct {
	Version   int     `json:"version"`
	Source    string  `json:"source"` // SHA-256 of the address, which may hold a secret
	Bytes     int64   `json:"bytes"`
	SHA256    string  `json:"sha256,omitempty"` // of the whole, if the source says it
	ETag      string  `json:"etag,omitempty"`
	Modified  string  `json:"modified,omitempty"`
	PartBytes int64   `json:"part_bytes"`
	Boot      string  `json:"boot,omitempty"` // of the machine; "" where it cannot be told
	Tie       string  `json:"tie"`
	Safe      []int64 `json:"safe"` // bytes of each part that are on the disk
}

func (m partMap) parts() int { return int((m.Bytes + m.PartBytes - 1) / m.PartBytes) }

// sound reports whether a map that was read can be one of ours.
func (m partMap) sound() bool {
	if m.Version != mapVersion || m.Bytes <= 0 || m.PartBytes < minPartBytes && m.PartBytes != m.Bytes || len(m.Safe) != m.parts() {
		return false
	}
	for i, n := range m.Safe {
		if n < 0 || n > m.length(i) {
			return false
		}
	}
	return len(m.Tie) == 2*tieBytes
}

// length is how many bytes a part has.
func (m partMap) length(part int) int64 { return min(m.PartBytes, m.Bytes-int64(part)*m.PartBytes) }

// continues says "" if bytes of the old map may be used for the new one, else
// why not. The hash of the whole decides if both have it; else the ETag, or the
// time of change where there is none, must be the same.
func (m partMap) continues(old partMap) string {
	switch {
	case old.Bytes != m.Bytes:
		return fmt.Sprintf("it has %s now, and had %s", jeantrail.Size(m.Bytes), jeantrail.Size(old.Bytes))
	case old.SHA256 != "" && m.SHA256 != "":
		if old.SHA256 != m.SHA256 {
			return "its SHA-256 is another now"
		}
		return ""
	case old.Source != m.Source:
		return "what was fetched came from another address"
	case old.ETag != m.ETag:
		return "its ETag is another now"
	case m.ETag == "" && (m.Modified == "" || old.Modified != m.Modified):
		return "the source does not say whether it is still the same"
	}
	return ""
}

// partial is a file that is being fetched. Its methods may be called by any
// goroutine.
type partial struct {
	base     string // path without the endings
	file     *os.File
	progress *os.File
	grown    chan struct{} // has room for one; sent to when bytes were written

	mu      sync.Mutex
	m       partMap
	written []int64 // bytes of each part
	noted   []int64 // of them, that the progress file says
	saving  sync.Mutex
}

// sourceKey is how the map names an address.
func sourceKey(address string) string {
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:])
}

// openPartial opens what there is of a file, or begins it anew. lost says why
// something that there was could not be used.
func openPartial(folder string, name fileName, m partMap) (p *partial, lost string, err error) {
	p = &partial{base: name.in(folder), grown: make(chan struct{}, 1)}
	m.Version, m.Boot = mapVersion, bootID()
	old, err := readMap(p.base + mapEnding)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		lost = "its map cannot be read"
	case err == nil:
		if lost = m.continues(old); lost == "" {
			if err := p.resume(m, old); err == nil {
				return p, "", nil
			}
			lost = "its files do not fit together"
		}
	}
	if err := p.begin(m); err != nil {
		p.close()
		return nil, "", diskError(err, "write to "+folder)
	}
	return p, lost, nil
}

func readMap(path string) (partMap, error) {
	f, err := os.Open(path)
	if err != nil {
		return partMap{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMapBytes))
	if err != nil {
		return partMap{}, err
	}
	var m partMap
	if err := json.Unmarshal(data, &m); err != nil {
		return partMap{}, err
	}
	if !m.sound() {
		return partMap{}, errors.New("the map is damaged")
	}
	return m, nil
}

// resume takes over what an earlier pull left.
func (p *partial) resume(m, old partMap) (err error) {
	defer func() {
		if err != nil {
			p.close()
			p.file, p.progress = nil, nil
		}
	}()
	if p.file, err = os.OpenFile(p.base+partialEnding, os.O_RDWR, 0); err != nil {
		return err
	}
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != m.Bytes {
		return errors.New("the partial file has another size")
	}
	sameBoot := old.Boot != "" && old.Boot == m.Boot
	m.PartBytes, m.Safe, m.Tie, m.Boot = old.PartBytes, old.Safe, old.Tie, old.Boot
	p.m = m
	p.written = slices.Clone(old.Safe)
	if sameBoot {
		p.readProgress()
	}
	return p.renew()
}

// readProgress raises what was written to what the progress file says. One that
// is missing, torn or of another map says nothing.
func (p *partial) readProgress() {
	data, err := os.ReadFile(p.base + progressEnding)
	if err != nil || len(data) != tieBytes+8*len(p.written) || hex.EncodeToString(data[:tieBytes]) != p.m.Tie {
		return
	}
	for i := range p.written {
		n := int64(binary.LittleEndian.Uint64(data[tieBytes+8*i:]))
		if n > p.written[i] && n <= p.m.length(i) {
			p.written[i] = n
		}
	}
}

// begin makes the files anew, with nothing written.
func (p *partial) begin(m partMap) (err error) {
	for _, ending := range []string{mapEnding, progressEnding, partialEnding} { // the map first: without it the rest says nothing
		if err := os.Remove(p.base + ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if p.file, err = os.OpenFile(p.base+partialEnding, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if err := p.file.Truncate(m.Bytes); err != nil {
		return err
	}
	p.m = m
	p.m.Safe = make([]int64, m.parts())
	p.written = make([]int64, m.parts())
	return p.renew()
}

// renew ties the map and the progress file to each other anew. The map comes
// first and counts everything: if a crash keeps the progress file from
// following, the old one goes with no map.
func (p *partial) renew() (err error) {
	tie := make([]byte, tieBytes)
	if _, err := rand.Read(tie); err != nil {
		return err
	}
	p.m.Tie, p.m.Boot = hex.EncodeToString(tie), bootID()
	if err := p.save(); err != nil {
		return err
	}
	if p.progress, err = os.OpenFile(p.base+progressEnding, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	data := append([]byte(nil), tie...)
	for _, n := range p.written {
		data = binary.LittleEndian.AppendUint64(data, uint64(n))
	}
	p.noted = slices.Clone(p.written)
	_, err = p.progress.Write(data)
	return err
}

// save makes what was written safe on the disk, then says so in the map.
func (p *partial) save() error {
	p.saving.Lock()
	defer p.saving.Unlock()
	p.mu.Lock()
	m := p.m
	m.Safe = slices.Clone(p.written)
	p.mu.Unlock()
	if err := syncData(p.file); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeSafely(p.base+mapEnding, data)
}

// writeSafely replaces a file so that after a power cut it is the old or the new
// one.
func writeSafely(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// write puts bytes behind those that a part has, and counts them.
func (p *partial) write(part int, b []byte) error {
	p.mu.Lock()
	at := int64(part)*p.m.PartBytes + p.written[part]
	p.mu.Unlock()
	if _, err := p.file.WriteAt(b, at); err != nil {
		return err
	}
	p.mu.Lock()
	p.written[part] += int64(len(b))
	n, due := p.written[part], p.written[part]-p.noted[part] >= progressEvery || p.written[part] == p.m.length(part)
	p.mu.Unlock()
	select {
	case p.grown <- struct{}{}:
	default:
	}
	if !due {
		return nil
	}
	return p.noteAt(part, n)
}

// flush notes what a part has. It is called when a connection breaks.
func (p *partial) flush(part int) error {
	p.mu.Lock()
	n, same := p.written[part], p.written[part] == p.noted[part]
	p.mu.Unlock()
	if same {
		return nil
	}
	return p.noteAt(part, n)
}

func (p *partial) noteAt(part int, n int64) error {
	if _, err := p.progress.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(n)), tieBytes+8*int64(part)); err != nil {
		return err
	}
	p.mu.Lock()
	p.noted[part] = n
	p.mu.Unlock()
	return nil
}

// missing returns the range of bytes that a part lacks; from > to if none.
func (p *partial) missing(part int) (from, to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := int64(part) * p.m.PartBytes
	return start + p.written[part], start + p.m.length(part) - 1
}

// have is how many bytes were written in all.
func (p *partial) have() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.written {
		n += w
	}
	return n
}

// unbroken is how many bytes there are from the beginning without a gap; known
// is how many are known to be.
func (p *partial) unbroken(known int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := int(known / p.m.PartBytes)
	for part < len(p.written) && p.written[part] == p.m.length(part) {
		part++
	}
	if part == len(p.written) {
		return p.m.Bytes
	}
	return int64(part)*p.m.PartBytes + p.written[part]
}

func (p *partial) close() {
	for _, f := range []*os.File{p.file, p.progress} {
		if f != nil {
			_ = f.Close() // what mattered was synced
		}
	}
}

// discard removes all files of an unfinished pull.
func discard(base string) error {
	var failed error
	for _, ending := range []string{mapEnding, mapEnding + ".new", progressEnding, partialEnding} {
		if err := os.Remove(base + ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// diskError says what the disk refused; a full one in its own words.
func diskError(err error, doing string) error {
	if isFull(err) {
		return jeantrail.Errorf(jeantrail.CodeStorageFull, "%s: the disk is full", doing).
			WithHint("Make room, then run the same again: it goes on where it stopped.")
	}
	return jeantrail.Errorf(jeantrail.CodeInternal, "%s: %w", doing, err).
		WithHint("Check the disk and the permissions of the models folder.")
}

// name is that of the file in the models folder.
func (p *partial) name() string { return filepath.Base(p.base) }
