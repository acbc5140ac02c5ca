package main

import (
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/lanewise/lanewise/kernels"
)

// fake is a contender that returns what it is told.
type fake struct {
	values []float32
	err    error
	runs   []int
	log    *[]*fake
}

func (f *fake) Run(times int) error {
	f.runs = append(f.runs, times)
	*f.log = append(*f.log, f)
	time.Sleep(time.Duration(times) * 100 * time.Microsecond)
	return f.err
}
func (f *fake) Output() ([]float32, error) { return f.values, nil }
func (f *fake) Close()                     {}

// generic is Lanewise in Go.
func generic(t *testing.T) *ours {
	o, err := newOurs(kernels.Generic, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// TestWrongResultsAreOut holds check to leave out who errs, who computes something else and who
// computes NaN, and to leave in who rounds otherwise.
func TestWrongResultsAreOut(t *testing.T) {
	var log []*fake
	entrant := func(err error, values ...float32) *entry {
		return &entry{peer: &peer{}, work: 1, runner: &fake{values: values, err: err, log: &log}}
	}
	nan := float32(math.NaN())
	first, near, off := entrant(nil, 1, -2, 4), entrant(nil, 1.0003, -2, 4), entrant(nil, 1, -2, 4.01)
	short, poisoned, failing := entrant(nil, 1, -2), entrant(nil, nan, -2, 4), entrant(errors.New("no"), 1, -2, 4)
	chain := entrant(nil, 7, 7)
	chain.want = []float32{7, 7}
	r := &race{row: row{tolerance: 1e-4}, theirs: generic(t), entries: []*entry{first, near, off, short, poisoned, failing, chain}}
	if err := r.run(3, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		e  *entry
		in bool
	}{{first, true}, {near, true}, {off, false}, {short, false}, {poisoned, false}, {failing, false}, {chain, true}} {
		if (c.e.note == "") != c.in || (len(c.e.rates) == 3) != c.in {
			t.Errorf("entry %d: note %q, %d rates; takes part should be %v", i, c.e.note, len(c.e.rates), c.in)
		}
	}
	for _, rate := range first.rates {
		if ns := 1 / rate; ns < 100e3 {
			t.Errorf("a run of 100 µs is said to take %.0f ns", ns)
		}
	}
}

// TestRoundsRotate holds the order of the bursts to change from round to round.
func TestRoundsRotate(t *testing.T) {
	var log []*fake
	r := &race{row: row{tolerance: 1}, theirs: generic(t)}
	var fakes []*fake
	for range 3 {
		f := &fake{values: []float32{1}, log: &log}
		fakes = append(fakes, f)
		r.entries = append(r.entries, &entry{peer: &peer{}, work: 1, runner: f})
	}
	if err := r.run(3, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	bursts := log[len(log)-18:] // 3 rounds of 3, each after a few runs to warm up
	want := []int{0, 1, 2, 1, 2, 0, 2, 0, 1}
	for i, w := range want {
		if bursts[2*i] != fakes[w] || bursts[2*i+1] != fakes[w] {
			t.Fatalf("burst %d is not of contender %d", i, w)
		}
	}
}

// TestPeersAgree runs every library that is here through small shapes of every kind, none of which
// fills its tiles. A result that differs from Lanewise's fails.
func TestPeersAgree(t *testing.T) {
	runtime.LockOSThread() // for oneDNN
	defer runtime.UnlockOSThread()
	loaded := map[*peer]bool{}
	for _, p := range peers {
		if version, err := p.load(); err != nil {
			t.Logf("%s is missing: %v", p.name, err)
		} else {
			t.Logf("%s %s", p.name, version)
			loaded[p] = true
		}
	}
	rows := []row{
		gemmRow([]int{5, 33, 17}), gemmRow([]int{1, 70, 64}), gemmRow([]int{130, 64, 257}),
		convRow([]int{1, 6, 6, 3, 5, 3, 1}), convRow([]int{2, 9, 7, 16, 16, 3, 1}), convRow([]int{2, 8, 8, 4, 16, 3, 2}), convRow([]int{1, 5, 5, 8, 24, 1, 1}),
	}
	for _, s := range []attentionShape{
		{batch: 2, heads: 3, queries: 7, keys: []int{5}, size: 8},
		{batch: 1, heads: 2, queries: 65, keys: []int{65}, size: 40},
		{batch: 2, heads: 2, queries: 33, keys: []int{17}, masked: 5, size: 16},
		{batch: 1, heads: 3, queries: 19, keys: []int{19}, causal: true, size: 8},
		{batch: 2, heads: 2, queries: 21, keys: []int{9, 4}, size: 8},
	} {
		rows = append(rows, attentionRow(s))
	}
	rows = append(rows, normRows([]int{4, 6, 64})...)
	for _, row := range rows {
		for _, workers := range []int{1, 2} {
			agree(t, row, workers, loaded)
		}
	}
}

// agree runs a row once with everybody, Lanewise on every instruction set.
func agree(t *testing.T, w row, workers int, loaded map[*peer]bool) {
	t.Helper()
	r := &race{row: w, workers: workers, loaded: func(p *peer) bool { return loaded[p] }}
	for _, set := range kernels.Available() {
		o, err := newOurs(set.ISA, workers)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		r.ours = append(r.ours, o)
	}
	defer r.close()
	w.enter(r)
	if err := r.check(); err != nil {
		t.Error(err)
	}
	ran := map[*peer]bool{}
	unimplemented := dnnError{"convolution", dnnUnimplemented}.Error()
	for _, e := range r.entries {
		switch e.note {
		case "":
			ran[e.peer] = true
		case unimplemented: // Winograd, where it does not suit
		default:
			t.Errorf("%s %s, workers %d: %s %s: %s", w.kind, w.shape, workers, e.peer.name, e.variant, e.note)
		}
	}
	for _, k := range kinds {
		for _, p := range k.peers {
			if k.name == w.kind && loaded[p] && !ran[p] && p != oneDNN {
				t.Errorf("%s %s, workers %d: %s took no part", w.kind, w.shape, workers, p.name)
			}
		}
	}
}
