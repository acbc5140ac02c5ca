package conv_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// chooser makes layers on an engine.
type chooser struct{ e *engine.Engine }

func newChooser(t *testing.T) chooser {
	return chooser{kerneltest.Engine(t, kernels.Available()[0], 1)}
}

// taps are layers' weights, all zero: what is chosen is none of their business.
func (c chooser) taps(in, out int, g conv.Geometry) *conv.Packed {
	return conv.Pack(c.e, make([]float32, out*in*g.KH*g.KW), out, in, g)
}

// layer is a 3 × 3 convolution of a square image.
func (c chooser) layer(in, out, side int) conv.Layer {
	return conv.Layer{Weights: c.taps(in, out, conv.Same(3)), H: side, W: side, OutH: side, OutW: side}
}

// enlarged is one of an image that is enlarged before.
func (c chooser) enlarged(in, out, from, to int) conv.Layer {
	g := conv.Same(3)
	g.Upsample = true
	return conv.Layer{Weights: c.taps(in, out, g), H: from, W: from, OutH: to, OutW: to}
}

// all are layers of every kind.
func (c chooser) all() []conv.Layer {
	half := conv.Same(3)
	half.Stride = 2
	return []conv.Layer{
		c.layer(4, 320, 64), c.layer(64, 64, 64), c.layer(96, 33, 17), c.layer(64, 3, 64), c.layer(40, 40, 3),
		c.enlarged(64, 64, 8, 16), c.enlarged(64, 64, 8, 15),
		{Weights: c.taps(64, 64, half), H: 64, W: 64, OutH: 32, OutW: 32},
		{Weights: c.taps(64, 64, conv.Same(1)), H: 64, W: 64, OutH: 64, OutW: 64},
		{Weights: c.taps(64, 64, conv.Same(5)), H: 64, W: 64, OutH: 64, OutW: 64},
	}
}

// The choice follows from shapes and options: no instruction set, whose panels are of another width, and
// no number of workers changes it.
func TestPlansAreTheSameEverywhere(t *testing.T) {
	for _, o := range []conv.Options{{}, {Accuracy: conv.Fine}, {Memory: 600_000}, {Memory: -1}, {Algorithm: conv.Winograd2}} {
		var first []conv.Plan
		kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
			for _, workers := range []int{1, 7} {
				plans := conv.Plans(chooser{kerneltest.Engine(t, set, workers)}.all(), o)
				if first == nil {
					first = plans
				}
				if !slices.Equal(plans, first) {
					t.Errorf("%+v, %d workers: %v, want %v", o, workers, plans, first)
				}
			}
		})
	}
}

// What is chosen fits, and is as accurate as was asked for.
func TestPlans(t *testing.T) {
	c := newChooser(t)
	layers := c.all()
	inexact := func(a conv.Algorithm) bool { return a == conv.Winograd4 || a == conv.PhasesWinograd }
	for accuracy := range conv.Fine + 1 {
		for i, p := range conv.Plans(layers, conv.Options{Accuracy: accuracy}) {
			l := layers[i]
			if p.Algorithm == conv.Auto || !l.Weights.Fits(p.Algorithm, l.H, l.W, l.OutH, l.OutW) {
				t.Errorf("layer %d: %v", i, p)
			}
			if p.Algorithm == conv.Winograd6 || accuracy == conv.Fine && inexact(p.Algorithm) {
				t.Errorf("layer %d: %v for accuracy %v", i, p, accuracy)
			}
			if got := l.Weights.Choose(l.H, l.W, l.OutH, l.OutW, conv.Options{Accuracy: accuracy}); got != p {
				t.Errorf("layer %d: Choose gives %v, Plans %v", i, got, p)
			}
		}
	}
	for _, forced := range []conv.Algorithm{conv.Direct, conv.Winograd2, conv.Winograd4, conv.Winograd6, conv.Phases, conv.PhasesWinograd} {
		for i, p := range conv.Plans(layers, conv.Options{Algorithm: forced, Accuracy: conv.Fine}) {
			l, want := layers[i], conv.Direct
			if l.Weights.Fits(forced, l.H, l.W, l.OutH, l.OutW) {
				want = forced
			}
			if p.Algorithm != want {
				t.Errorf("layer %d: %v, want %v", i, p, want)
			}
		}
	}
}

// Room goes to the layers of many tiles first, once for weights that several layers share.
func TestPlansMemory(t *testing.T) {
	c := newChooser(t)
	small, large := c.layer(64, 64, 8), c.layer(64, 64, 32)
	larger := conv.Layer{Weights: small.Weights, H: 64, W: 64, OutH: 64, OutW: 64}
	double := c.enlarged(64, 64, 16, 32)
	one := int64(4 * 36 * 64 * 64) // of Winograd4
	kept, made := conv.Plan{Algorithm: conv.Winograd4, Stored: true}, conv.Plan{Algorithm: conv.Winograd4}
	for _, test := range []struct {
		layers []conv.Layer
		memory int64
		want   []conv.Plan
	}{
		{[]conv.Layer{small, large}, 2 * one, []conv.Plan{kept, kept}},
		{[]conv.Layer{small, large}, 2*one - 1, []conv.Plan{made, kept}},
		{[]conv.Layer{small, large}, one - 1, []conv.Plan{made, made}},
		{[]conv.Layer{small, large}, -1, []conv.Plan{made, made}},
		{[]conv.Layer{small, large}, 0, []conv.Plan{kept, kept}},
		{[]conv.Layer{small, large, larger}, one, []conv.Plan{kept, made, kept}},
		{[]conv.Layer{large, c.layer(64, 64, 32)}, one, []conv.Plan{kept, made}},
		{[]conv.Layer{c.layer(64, 128, 32), small}, one, []conv.Plan{made, kept}},
		// Of large weights for few tiles it is faster to make what is transformed than to read it.
		{[]conv.Layer{c.layer(512, 512, 8), c.layer(512, 512, 64)}, 0, []conv.Plan{made, kept}},
	} {
		if got := conv.Plans(test.layers, conv.Options{Algorithm: conv.Winograd4, Memory: test.memory}); !slices.Equal(got, test.want) {
			t.Errorf("%d bytes: %v, want %v", test.memory, got, test.want)
		}
	}
	// What makes its weights of those of phases needs room for these.
	phases := int64(4 * 4 * 4 * 64 * 64)
	for memory, want := range map[int64]conv.Plan{
		4 * one:                  {Algorithm: conv.PhasesWinograd, Stored: true},
		4*one - 1:                {Algorithm: conv.PhasesWinograd},
		phases:                   {Algorithm: conv.PhasesWinograd},
		phases - 1:               {Algorithm: conv.Direct},
		conv.DefaultMemory * 100: {Algorithm: conv.PhasesWinograd, Stored: true},
	} {
		if got := conv.Plans([]conv.Layer{double}, conv.Options{Algorithm: conv.PhasesWinograd, Memory: memory}); got[0] != want {
			t.Errorf("%d bytes: %v, want %v", memory, got[0], want)
		}
	}
}

func TestOptionNames(t *testing.T) {
	for a := range conv.PhasesWinograd + 1 {
		var b conv.Algorithm
		text, err := a.MarshalText()
		if err2 := b.UnmarshalText(text); err != nil || err2 != nil || a != b || string(text) != fmt.Sprint(a) {
			t.Errorf("%v: %q, %v, %v, %v", a, text, err, b, err2)
		}
		if err := (conv.Options{Algorithm: a}).Check(); err != nil {
			t.Error(err)
		}
	}
	for a := range conv.Fine + 1 {
		var b conv.Accuracy
		text, err := a.MarshalText()
		if err2 := b.UnmarshalText(text); err != nil || err2 != nil || a != b || string(text) != fmt.Sprint(a) {
			t.Errorf("%v: %q, %v, %v, %v", a, text, err, b, err2)
		}
	}
	algorithm, accuracy := conv.Winograd2, conv.Fine
	for says, err := range map[string]error{
		`unknown algorithm "winograd3" (algorithms: auto, direct, winograd2, winograd4,`: algorithm.UnmarshalText([]byte("winograd3")),
		`unknown algorithm ""`:                                algorithm.UnmarshalText(nil),
		`unknown accuracy "exact" (accuracies: normal, fine)`: accuracy.UnmarshalText([]byte("exact")),
		"conv: algorithm 7":                                   conv.Options{Algorithm: conv.PhasesWinograd + 1}.Check(),
		"conv: accuracy 2":                                    conv.Options{Accuracy: conv.Fine + 1}.Check(),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one with %q", err, says)
		}
	}
	if algorithm != conv.Winograd2 || accuracy != conv.Fine {
		t.Errorf("names that do not exist changed values to %v and %v", algorithm, accuracy)
	}
}

// Weights for a plan are there once while somebody has them, and not longer.
func TestWithShares(t *testing.T) {
	c := newChooser(t)
	p := c.taps(256, 256, conv.Same(3))
	kept := conv.Plan{Algorithm: conv.Winograd4, Stored: true}
	before := heap()
	first := p.With(c.e, kept)
	if second := first.With(c.e, kept); second != first || p.With(c.e, kept) != first {
		t.Error("weights for a plan are there twice")
	}
	size := first.Bytes()
	if want := 4 * 36 * 256 * 256; size != want {
		t.Errorf("transformed weights take %d bytes, want %d", size, want)
	}
	if grown := heap() - before; grown < size || grown > size+size/4 {
		t.Errorf("transformed weights of %d bytes take %d", size, grown)
	}
	if other := first.With(c.e, p.Plan()); other.Plan() != p.Plan() || other.Bytes() != p.Bytes() {
		t.Errorf("back from %v is %v", first.Plan(), other.Plan())
	}
	runtime.KeepAlive(first)
	first = nil
	if left := heap() - before; left > size/4 {
		t.Errorf("%d bytes of %d are left of weights that nobody has", left, size)
	}
	if again := p.With(c.e, kept); again.Bytes() != size {
		t.Errorf("made again, they take %d bytes, want %d", again.Bytes(), size)
	}
}

// heap returns how many bytes are reachable.
func heap() int {
	var m runtime.MemStats
	for range 2 { // what a finalizer or a cleanup held goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
