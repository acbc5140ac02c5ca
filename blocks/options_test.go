package blocks_test

import (
	"runtime"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// Programs of a layer share the weights that are transformed for them, which are there once, and as long
// as one of the programs is.
func TestProgramsShareTransformedWeights(t *testing.T) {
	const channels, transformed = 128, 4 * 36 * 128 * 128
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	layer, _ := load(t, e, func(l *blocks.Loader) *blocks.Conv { return l.Conv("c", channels, channels, conv.Same(3)) })
	build := func(o conv.Options) *program.Program {
		g := &blocks.Graph{Engine: e, Options: blocks.Options{Conv: o}}
		x := input(g, "x", image(1, 1, 4, 4, channels))
		for _, side := range []int{4, 8} { // one layer at two sizes
			y, in := g.Image(1, side, side, channels), x
			if side > 4 {
				in = g.Image(1, side, side, channels)
				g.Nearest("enlarge", in, x)
			}
			layer.Build(g, y, in, blocks.Fuse{})
		}
		return g.Build()
	}
	forced := conv.Options{Algorithm: conv.Winograd4}
	before := heap()
	first := build(forced)
	if kept := first.Kept(); kept != transformed {
		t.Errorf("a program keeps %d bytes, want %d", kept, transformed)
	}
	if grown := heap() - before; grown < transformed || grown > 3*transformed/2 {
		t.Errorf("a program takes %d bytes", grown)
	}
	second := build(forced)
	if grown := heap() - before; grown > 3*transformed/2 || second.Kept() != transformed {
		t.Errorf("two programs take %d bytes, the second keeps %d", grown, second.Kept())
	}
	if without := build(conv.Options{Memory: -1}); without.Kept() != 0 {
		t.Errorf("a program without room keeps %d bytes", without.Kept())
	}
	runtime.KeepAlive(first)
	first = nil
	if left := heap() - before; left < transformed {
		t.Errorf("%d bytes are left while a program uses them", left)
	}
	runtime.KeepAlive(second)
	second = nil
	if left := heap() - before; left > transformed/2 {
		t.Errorf("%d bytes are left without a program", left)
	}
}

// heap returns how many bytes are reachable.
func heap() int {
	var m runtime.MemStats
	for range 2 { // what a cleanup held goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
