package program_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// fill writes stamp to every value of t.
func fill(t tensor.NHWC, stamp float32) {
	for r := range t.Tokens().Rows {
		row := t.Tokens().Row(r)
		for c := range row {
			row[c] = stamp
		}
	}
}

// holds says whether every value of t is stamp.
func holds(t tensor.NHWC, stamp float32) bool {
	for r := range t.Tokens().Rows {
		for _, v := range t.Tokens().Row(r) {
			if v != stamp {
				return false
			}
		}
	}
	return true
}

// part is a value that some op of a random program has written, and with what.
type part struct {
	value program.Value
	stamp float32
}

// Every op of a random program checks that its sources still hold what their writers left, and
// then stamps its output: any two live values that overlap are found out, whatever the plan is.
// Some outputs are channel ranges of a common buffer, written long before they are read, like the
// skips of a U-Net.
func TestPlanKeepsLiveValues(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b program.Builder
		var written, halves []part
		stamp := float32(0)
		for op := range 5 + r.IntN(60) {
			var src []part
			for range min(r.IntN(4), len(written)) {
				src = append(src, written[r.IntN(len(written))])
			}
			var dst part
			stamp++
			switch {
			case len(halves) > 0 && r.IntN(2) == 0: // the other half of a concatenation
				i := r.IntN(len(halves))
				dst = part{halves[i].value, stamp}
				halves = slices.Delete(halves, i, i+1)
			case r.IntN(3) == 0:
				whole := b.Image(1+r.IntN(3), 1+r.IntN(9), 1+r.IntN(9), 2+r.IntN(700))
				cut := 1 + r.IntN(whole.C-1)
				dst = part{whole.Channels(cut, whole.C), stamp}
				halves = append(halves, part{value: whole.Channels(0, cut)})
			default:
				dst = part{b.Image(1, 1+r.IntN(20), 1+r.IntN(20), 1+r.IntN(100)), stamp}
			}
			values := []program.Value{}
			for _, s := range src {
				values = append(values, s.value)
			}
			b.Add(program.Op{Name: fmt.Sprint(op), Dst: dst.value, Src: values, Bind: func(m program.Memory) func() {
				return func() {
					fill(m.Image(dst.value), dst.stamp) // first: an op may write while it still reads
					for _, s := range src {
						if !holds(m.Image(s.value), s.stamp) {
							t.Errorf("seed %d: op %d reads a value that was overwritten", seed, op)
						}
					}
				}
			}})
			written = append(written, dst)
		}
		p := b.Build()
		for range 2 {
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// way is how an op is computed.
type way int

func (w way) String() string { return fmt.Sprint("way ", int(w)) }

// chain is a program of ops that each copy the last value and count themselves.
func chain(n int, ran *int) *program.Program {
	var b program.Builder
	var last program.Value
	for i := range n {
		v := b.Image(1, 8, 8, 4)
		b.Add(program.Op{Name: fmt.Sprint("op", i), Kind: []string{"even", "odd"}[i%2], How: way(i), Dst: v, Src: []program.Value{last},
			Cost: func() program.Cost { return program.Cost{FLOP: 10, Bytes: 5} },
			Bind: func(m program.Memory) func() {
				dst := m.Image(v)
				return func() { fill(dst, float32(i)); *ran++ }
			}})
		last = v
	}
	return b.Build()
}

func TestPlanReusesMemory(t *testing.T) {
	var ran int
	if got, limit := chain(100, &ran).Bytes(), 2*8*8*4*4; got > limit {
		t.Errorf("a chain of 100 values takes %d bytes, want two values' %d", got, limit)
	}
}

func TestStrides(t *testing.T) {
	for _, c := range []struct{ rows, channels, stride int }{
		{2, 512, 528}, {2, 1024, 1040}, {2, 2560, 2576}, {1, 512, 512}, {2, 320, 320}, {2, 3, 3}, {2, 640, 640},
	} {
		var b program.Builder
		v := b.Image(1, 1, c.rows, c.channels)
		b.Add(program.Op{Dst: v, Bind: func(m program.Memory) func() {
			if got := m.Mat(v); got.Stride != c.stride || got.Rows != c.rows || got.Cols != c.channels {
				t.Errorf("%d × %d: got %d × %d with stride %d, want %d", c.rows, c.channels, got.Rows, got.Cols, got.Stride, c.stride)
			}
			return func() {}
		}})
		b.Build()
	}
}

func TestRunStopsWithinOneOp(t *testing.T) {
	for _, watched := range []bool{false, true} {
		var ran int
		p := chain(10, &ran)
		p.Measure(watched)
		for n := range 10 {
			ran = 0
			err := p.Run(modeltest.Canceled(t.Context(), n))
			if !errors.Is(err, context.Canceled) || ran != n {
				t.Errorf("watched %t, canceled after %d ops: %d ran, error %v", watched, n, ran, err)
			}
		}
		ran = 0
		if err := p.Run(modeltest.Canceled(t.Context(), 10)); err != nil || ran != 10 {
			t.Errorf("watched %t, canceled during the last op: %d ran, error %v", watched, ran, err)
		}
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	var ran int
	p := chain(10, &ran)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n := testing.AllocsPerRun(10, func() { _ = p.Run(ctx) }); n != 0 {
		t.Errorf("%v allocations in Run", n)
	}
	p.Measure(true)
	if n := testing.AllocsPerRun(10, func() { _ = p.Run(ctx) }); n != 0 {
		t.Errorf("%v allocations in a measured Run", n)
	}
}

func TestObserve(t *testing.T) {
	var ran int
	p := chain(5, &ran)
	var seen []string
	p.Observe(func(name string, out tensor.NHWC) {
		if !holds(out, float32(len(seen))) {
			t.Errorf("the output shown for %s is not its own", name)
		}
		seen = append(seen, name)
	})
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, p.Names()) {
		t.Errorf("observed %v, want %v", seen, p.Names())
	}
	p.Observe(nil)
	if err := p.Run(t.Context()); err != nil || len(seen) != 5 {
		t.Errorf("observed %d outputs after Observe(nil)", len(seen)-5)
	}
}

func TestProfile(t *testing.T) {
	var ran int
	p := chain(5, &ran)
	p.Measure(true)
	for range 3 {
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	prof := p.Profile()
	const value = 8 * 8 * 4 * 4
	for i, s := range prof {
		want := program.Cost{FLOP: 3 * 10, Bytes: 3 * (5 + 2*value)}
		if i == 0 {
			want.Bytes -= 3 * value // reads nothing
		}
		if s.Name != fmt.Sprint("op", i) || s.How != fmt.Sprint("way ", i) || s.Runs != 3 || s.Time <= 0 || s.Cost != want {
			t.Errorf("op %d: %+v, want cost %v", i, s, want)
		}
	}
	kinds := program.Profile{
		{Kind: "a", Runs: 1, Time: 1}, {Kind: "b", Runs: 1, Time: 5}, {Kind: "a", How: "so", Runs: 1, Time: 4},
		{Kind: "a", Runs: 2, Time: 2, Cost: program.Cost{FLOP: 7}}, {Kind: "a", How: "so", Runs: 1, Time: 3},
	}.ByKind()
	if want := (program.Profile{
		{Kind: "a", How: "so", Runs: 2, Time: 7}, {Kind: "b", Runs: 1, Time: 5}, {Kind: "a", Runs: 3, Time: 3, Cost: program.Cost{FLOP: 7}},
	}); !slices.Equal(kinds, want) {
		t.Errorf("by kind: %v, want %v", kinds, want)
	}
	var table strings.Builder
	sample := program.Profile{{Name: "mid", Kind: "conv", How: "winograd4", Runs: 2, Time: 4 * time.Millisecond, Cost: program.Cost{FLOP: 2e8, Bytes: 4e6}}}
	if err := sample.Write(&table, 100e9); err != nil {
		t.Fatal(err)
	}
	line := strings.Fields(strings.Split(table.String(), "\n")[1])
	if want := []string{"2", "4.000", "100.0", "50.0", "50.0", "1.0", "conv", "winograd4", "mid"}; !slices.Equal(line, want) {
		t.Errorf("table line %v, want %v", line, want)
	}
	p.Measure(false)
	if p.Profile() != nil {
		t.Error("a profile after Measure(false)")
	}
}

func TestReadBeforeWrite(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "mid_block.norm") {
			t.Errorf("panic %v, want one that names the op", r)
		}
	}()
	var b program.Builder
	b.Add(program.Op{Name: "mid_block.norm", Dst: b.Mat(1, 1), Src: []program.Value{b.Mat(1, 1)}})
}

func TestZeroValueIsAbsent(t *testing.T) {
	var b program.Builder
	b.Add(program.Op{Dst: b.Mat(1, 1), Src: []program.Value{{}}, Bind: func(m program.Memory) func() {
		if m.Mat(program.Value{}).Data != nil || m.Image(program.Value{}).Data != nil {
			t.Error("the zero Value has memory")
		}
		return func() {}
	}})
	b.Build()
}
