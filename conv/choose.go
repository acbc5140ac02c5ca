package conv

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Options say how the algorithms of convolutions are chosen. The zero value is the default.
//
// With any options a result depends on nothing but the operands and the options: what is chosen follows
// from the shapes of the layers and the sizes of their images, never from the batch, the number of
// workers, the instruction set or a cache. Whoever wants the sum as Apply writes it, one chain of
// multiply-adds for each output, asks for the Algorithm Direct.
type Options struct {
	// Algorithm is computed with wherever it fits, and Direct elsewhere. Auto takes for each layer what
	// is fastest among what Accuracy allows.
	Algorithm Algorithm
	// Accuracy is how large the rounding errors may be of what Auto takes.
	Accuracy Accuracy
	// Memory is how many bytes the layers of a session may keep, all together, of weights that are
	// laid out for an algorithm besides Direct; 0 means DefaultMemory, a negative number none.
	// Sessions of a model share what both keep. A layer without room transforms its weights anew in
	// every run, which may change the last bits of its output, or is computed by another algorithm.
	Memory int64
}

// DefaultMemory is the room for transformed weights where Options say nothing. The layers of Stable
// Diffusion 1.5's U-Net that work on 64 × 64 pixels, where blocks of tiles are most, take 253 MiB of it; they
// are 15 % faster then, and the U-Net 1.5 % (bench/layers).
const DefaultMemory = 256 << 20

// Check returns an error unless there are such an algorithm and accuracy.
func (o Options) Check() error {
	switch {
	case o.Algorithm >= algorithms:
		return fmt.Errorf("conv: algorithm %d", o.Algorithm)
	case o.Accuracy >= accuracies:
		return fmt.Errorf("conv: accuracy %d", o.Accuracy)
	}
	return nil
}

// Accuracy is a bound on rounding errors: those of a sum of products in float32, by the root of their
// mean square, in multiples of what Direct makes of the same operands.
type Accuracy uint8

const (
	// Normal allows twice the errors of Direct, and no larger ones where there are more than some 300
	// channels: it includes Winograd4.
	Normal Accuracy = iota
	// Fine allows no larger errors than those of Direct: it includes Winograd2.
	Fine
	// Coarse allows all algorithms that there are: it includes Winograd6.
	Coarse
	accuracies
)

var accuracyNames = [accuracies]string{"normal", "fine", "coarse"}

// String returns the accuracy's name.
func (a Accuracy) String() string { return accuracyNames[a] }

// MarshalText returns the accuracy's name.
func (a Accuracy) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText sets a to the accuracy of a name.
func (a *Accuracy) UnmarshalText(name []byte) error {
	i := slices.Index(accuracyNames[:], string(name))
	if i < 0 {
		return fmt.Errorf("conv: unknown accuracy %q (accuracies: %s)", name, strings.Join(accuracyNames[:], ", "))
	}
	*a = Accuracy(i)
	return nil
}

// allows says whether an algorithm's errors are within a, for the channels of the layers that Auto
// computes by it.
//
// Errors of 3 × 3 taps, in 1e-7 of the root mean square of the output, operands normally distributed;
// PhasesWinograd has those of Winograd4 (bench/errors):
//
//	channels      32    64   320   640  1280
//	Direct       2.9   4.3   9.5  13.3  18.6
//	Winograd2    1.9   2.6   3.3   3.6   3.7
//	Winograd4    5.7   7.5   9.4  10.6  11.0
//	Winograd6     24    32    41    44    46
func (a Accuracy) allows(by Algorithm) bool {
	switch by {
	case Direct, Phases, Winograd2:
		return true
	case Winograd4, PhasesWinograd:
		return a != Fine
	default:
		return a == Coarse
	}
}

// rule is a row of the table that Auto chooses by.
type rule struct {
	upsample  bool // of layers that read through an enlarged image
	channels  int  // the least, of input and output
	side      int  // the least, of the output's rows and columns
	algorithm Algorithm
}

// rules are tried in order: a layer is computed by the first that it meets, whose algorithm fits it and
// is allowed; Direct stands behind them all.
var rules = []rule{
	{upsample: true, channels: 32, side: 4, algorithm: Winograd4},
	{upsample: true, channels: 32, side: 4, algorithm: Winograd2},
	{channels: 32, side: 4, algorithm: Winograd4},
	{channels: 32, side: 4, algorithm: Winograd2},
}

// meets says whether a layer is one that the rule is about.
func (r rule) meets(l Layer) bool {
	w := l.Weights
	return w.Upsample == r.upsample && min(w.In, w.Out) >= r.channels && min(l.OutH, l.OutW) >= r.side
}

// Layer is a convolution with the size of an image that it takes, and of the one that it makes.
type Layer struct {
	Weights    *Packed
	H, W       int
	OutH, OutW int
}

// candidates lists the plans that o has for a layer, the best first. They end where there is one that needs no
// memory.
func (l Layer) candidates(o Options) (list []Plan) {
	add := func(a Algorithm) {
		if !l.Weights.Fits(a, l.H, l.W, l.OutH, l.OutW) {
			return
		}
		if a.storable() && l.stores(a) {
			list = append(list, Plan{a, true})
		}
		list = append(list, Plan{Algorithm: a})
	}
	if o.Algorithm != Auto {
		add(o.Algorithm)
	} else {
		for _, r := range rules {
			if o.Accuracy.allows(r.algorithm) && r.meets(l) {
				add(r.algorithm)
			}
		}
	}
	add(Direct)
	return list
}

// stores says whether it is faster to keep the transformed weights of a layer than to make them anew in every run.
func (l Layer) stores(a Algorithm) bool {
	return l.tiles(a) >= storedTiles || l.Weights.keeps(Plan{a, true}) <= storedBytes
}

const (
	storedTiles = 128
	storedBytes = 4 << 20
)

// tiles is how many tiles the algorithm a cuts an image of the layer into.
func (l Layer) tiles(a Algorithm) int {
	kind, fast := a.fast()
	if !fast {
		return 1
	}
	m, h, w := kind.Transform().Outputs, l.OutH, l.OutW
	if a.phased() {
		h, w = h/2, w/2
	}
	return ((h + m - 1) / m) * ((w + m - 1) / m)
}

// Plans returns how each layer of a session is computed.
//
// What transforms weights panel by panel does it once for every block of tiles. So what a kept byte
// saves grows with the number of tiles, and layers get room in this order: those of many tiles before those
// of few, and of as many, the first before the last. Layers that share their weights share the room.
func Plans(layers []Layer, o Options) []Plan {
	room := o.Memory
	if room == 0 {
		room = DefaultMemory
	}
	order := make([]int, len(layers))
	tiles := make([]int, len(layers))
	for i, l := range layers {
		order[i], tiles[i] = i, l.tiles(l.candidates(o)[0].Algorithm)
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(tiles[j], tiles[i]) })

	type kept struct {
		weights *others
		plan    Plan
	}
	all := make(map[kept]bool)
	plans := make([]Plan, len(layers))
	for _, i := range order {
		l := layers[i]
		plans[i] = Plan{Algorithm: Direct}
		for _, plan := range l.candidates(o) {
			k := kept{l.Weights.others, plan}
			size := l.Weights.keeps(plan)
			if all[k] {
				size = 0
			}
			if size <= max(room, 0) {
				all[k] = true
				room -= size
				plans[i] = plan
				break
			}
		}
	}
	return plans
}

// Choose returns how the convolution of an image of h × w pixels to one of H × W is computed, the only
// layer of its session.
func (p *Packed) Choose(h, w, H, W int, o Options) Plan {
	return Plans([]Layer{{Weights: p, H: h, W: w, OutH: H, OutW: W}}, o)[0]
}

// storable says whether a has transformed weights, which a Plan may store.
func (a Algorithm) storable() bool { _, fast := a.fast(); return fast }

// keeps is how many bytes of weights a plan keeps besides those of Direct, without what pads them
// to vectors: it is a function of their shape.
func (p *Packed) keeps(plan Plan) int64 {
	values := 0 // for a pair of channels
	switch kind, _ := plan.Algorithm.fast(); {
	case plan.Stored:
		t := kind.Transform().Points
		values = t * t
		if plan.Algorithm.phased() {
			values *= 4
		}
	case plan.Algorithm.phased():
		values = 4 * 2 * 2
	}
	return 4 * int64(values) * int64(p.In) * int64(p.Out)
}
