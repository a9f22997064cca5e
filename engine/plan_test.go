package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the traces in testdata/plans anew")

// TestPlanTraces runs the scripts in testdata/plans and compares what is
// planned with what they say.
//
//	engine ctx=N seqs=N batch=N [separate] [rate=N] [decode=MS] [shelf]
//	kept ram|disk prompt=a*300
//	                   a state that is kept; so are those that a plan saves
//	read NAME|unreadable NAME
//	                   what it waits for came from the disk, or did not
//	submit NAME [class=N] [at=SECONDS] [max=N] prompt=a*40+@cat*50/4+b*10
//	                   an image after @: its name, rows and, if fewer, positions
//	encoded cat        its rows are there
//	step               plan, evaluate, sample "." wherever it was asked
//	steps N            N such steps, of which only preemptions are shown
//	abort N            plan, but only the first N rows are evaluated
//	noroom             plan, but the cache refuses
//	cancel|pause|resume NAME
//
// Lines that begin with "|" are the plan.
func TestPlanTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tr := &trace{byName: map[string]*sequence{}, names: map[*sequence]string{}}
			for line := range strings.Lines(string(want)) {
				if strings.HasPrefix(line, "|") {
					continue
				}
				tr.out.WriteString(line)
				if err := tr.command(strings.Fields(line)); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(tr.out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got := tr.out.String(); got != string(want) {
				t.Errorf("the trace differs (go test -update writes it anew):\n%s", got)
			}
		})
	}
}

type trace struct {
	s      *scheduler
	out    strings.Builder
	byName map[string]*sequence
	names  map[*sequence]string
	shelf  *traceShelf
}

// traceShelf keeps everything, and forgets nothing.
type traceShelf struct {
	Shelf // the scheduler uses no more than the two below
	kept  []Prefix
}

func (h *traceShelf) Find(tokens []Token) (ram, disk Prefix) {
	for _, p := range h.kept {
		p.Common = commonPrefix(&history{tokens: p.Tokens}, &history{tokens: tokens})
		switch {
		case p.Tier == TierRAM && p.Common > ram.Common:
			ram = p
		case p.Tier == TierDisk && p.Common > disk.Common:
			disk = p
		}
	}
	return ram, disk
}

func (h *traceShelf) Admit(int64) bool { return true }

func (tr *trace) command(words []string) error {
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	args := map[string]string{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		args[key] = value
	}
	number := func(key string, fallback int) int {
		if v, err := strconv.Atoi(args[key]); err == nil {
			return v
		}
		return fallback
	}
	switch words[0] {
	case "engine":
		_, separate := args["separate"]
		info := Info{NCtx: number("ctx", 4096), NSeqMax: number("seqs", 4), NBatch: number("batch", 512), NUBatch: number("ubatch", number("batch", 512)), Unified: !separate}
		info.NCtxSeq = info.NCtx
		if separate {
			info.NCtxSeq /= info.NSeqMax
		}
		tr.s = newScheduler(info, Options{}.withDefaults())
		if _, shelf := args["shelf"]; shelf {
			tr.shelf = &traceShelf{}
			tr.s.shelf = tr.shelf
		}
		tr.s.rate, tr.s.decodeSec = float64(number("rate", 1000)), float64(number("decode", 20))/1000
	case "submit":
		tr.submit(words[1], args["prompt"], number("class", 0), number("at", 0), number("max", 1000))
	case "step":
		tr.plan()
		tr.s.commit(OutcomeOK, nil)
		tr.sample()
	case "steps":
		return tr.steps(words[1])
	case "abort":
		n, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		tr.abort(n)
	case "noroom":
		tr.plan()
		fmt.Fprintf(&tr.out, "| refused, can go on: %v\n", tr.s.noRoom())
	case "encoded":
		for _, q := range tr.s.running {
			for _, i := range q.images {
				if i.key.sha256 == words[1] {
					tr.s.encoded(words[1], []ImageRows{{NRows: i.rows, NPos: i.positions}})
				}
			}
		}
	case "kept":
		tier := TierRAM
		if words[1] == "disk" {
			tier = TierDisk
		}
		var h history
		tr.history(&h, args["prompt"])
		tr.shelf.kept = append(tr.shelf.kept, Prefix{Tier: tier, Tokens: h.tokens, Bytes: int64(len(h.tokens)) * 1000, State: []byte(words[1])})
	case "read", "unreadable":
		f := tr.byName[words[1]].fetch
		f.done = true
		if words[0] == "unreadable" {
			f.prefix.State = nil
		}
	case "cancel":
		tr.s.leave(tr.byName[words[1]])
	case "pause", "resume":
		tr.byName[words[1]].paused = words[0] == "pause"
	default:
		return fmt.Errorf("command %q is not known", words[0])
	}
	return nil
}

func (tr *trace) steps(count string) error {
	n, err := strconv.Atoi(count)
	for i := range n {
		begin := tr.out.Len()
		tr.plan()
		shown := tr.out.String()[begin:]
		kept := tr.out.String()[:begin]
		tr.out.Reset()
		tr.out.WriteString(kept)
		if strings.Contains(shown, "preempted") {
			fmt.Fprintf(&tr.out, "| in step %d:\n%s", i+1, shown)
		}
		tr.s.commit(OutcomeOK, nil)
		tr.sample()
	}
	return err
}

func (tr *trace) submit(name, prompt string, class, at, maxTokens int) {
	q := &sequence{id: uint64(len(tr.byName) + 1), class: class, maxTokens: maxTokens}
	q.key = int64(time.Duration(at)*time.Second + time.Duration(class)*15*time.Second)
	tr.history(&q.history, prompt)
	q.encoded = make([]*ImageRows, len(q.images))
	q.nPrompt = len(q.tokens)
	tr.byName[name], tr.names[q] = q, name
	tr.s.queue.push(q)
}

// history reads a prompt.
func (tr *trace) history(h *history, prompt string) {
	for _, part := range strings.Split(prompt, "+") {
		letter, times, _ := strings.Cut(part, "*")
		times, positions, fewer := strings.Cut(times, "/")
		n, _ := strconv.Atoi(times)
		if image, ok := strings.CutPrefix(letter, "@"); ok {
			p := n
			if fewer {
				p, _ = strconv.Atoi(positions)
			}
			h.appendImage(n, p, imageKey{sha256: image})
			continue
		}
		for range max(1, n) {
			h.tokens = append(h.tokens, Token(letter[0]))
		}
	}
}

func (tr *trace) plan() {
	before := tr.s.stats
	b := tr.s.plan()
	if n := tr.s.stats.Preemptions - before.Preemptions; n > 0 {
		fmt.Fprintf(&tr.out, "| preempted %d\n", n)
	}
	for _, v := range b.saves {
		fmt.Fprintf(&tr.out, "| save %d, %d tokens\n", v.seq, len(v.tokens))
		tr.shelf.kept = append(tr.shelf.kept, Prefix{Tier: TierRAM, Tokens: v.tokens, Bytes: int64(len(v.tokens)) * 1000, State: []byte("saved")})
	}
	for _, op := range b.ops {
		switch op.Kind {
		case MemRemove:
			fmt.Fprintf(&tr.out, "| remove %d [%d,%d)\n", op.Seq, op.P0, op.P1)
		case MemCopy:
			fmt.Fprintf(&tr.out, "| copy %d [%d,%d) to %d\n", op.Seq, op.P0, op.P1, op.Dst)
		}
	}
	for i, s := range b.spans {
		sample := ""
		if s.Sample {
			sample = " sample"
		}
		if s.Image != nil {
			sample = " image"
		}
		fmt.Fprintf(&tr.out, "| %s: seq %d, %d at %d%s\n", tr.names[b.seqs[i]], s.Seq, s.rows(), s.Pos, sample)
	}
	for _, q := range b.loads {
		if q.load != nil {
			fmt.Fprintf(&tr.out, "| %s: load %d tokens into %d from %s\n", tr.names[q], len(q.load.Tokens), q.slot.seq, q.load.Tier)
			defer tr.s.loaded(q, string(q.load.State) != "unsound")
		}
	}
	for _, q := range b.fetches {
		fmt.Fprintf(&tr.out, "| %s: fetch %d tokens\n", tr.names[q], len(q.fetch.prefix.Tokens))
	}
	for _, w := range b.wanted {
		fmt.Fprintf(&tr.out, "| %s wants %s\n", tr.names[w.q], w.q.images[w.image].key.sha256)
	}
	var waiting []string
	for _, q := range tr.s.queue.waiting {
		waiting = append(waiting, tr.names[q])
	}
	for _, q := range tr.s.running {
		if q.leader != nil {
			waiting = append(waiting, fmt.Sprintf("%s(for %d of %s)", tr.names[q], q.waitLen, tr.names[q.leader]))
		}
	}
	if len(waiting) > 0 {
		fmt.Fprintf(&tr.out, "| waiting: %s\n", strings.Join(waiting, " "))
	}
	if b.rows() == 0 {
		tr.out.WriteString("| nothing to evaluate\n")
	}
}

func (tr *trace) sample() {
	b := &tr.s.batch
	for i, q := range slices.Clone(b.seqs) {
		if !b.spans[i].Sample {
			continue
		}
		q.tokens = append(q.tokens, '.')
		if q.completion++; q.completion == q.maxTokens {
			fmt.Fprintf(&tr.out, "| %s ends\n", tr.names[q])
			tr.s.leave(q)
		}
	}
}

func (tr *trace) abort(rows int) {
	tr.plan()
	evaluated := map[int]int{}
	for _, s := range tr.s.batch.spans {
		n := min(rows, len(s.Tokens))
		evaluated[s.Seq] = s.Pos + n
		rows -= n
	}
	tr.s.commit(OutcomeAborted, func(seq int) int { return evaluated[seq] })
}
