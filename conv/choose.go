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

// DefaultMemory is the room for transformed weights where Options say nothing. Those that a U-Net of the size of Stable
// Diffusion 1.5 has for images of 64 × 64 pixels take 310 MB, a tenth of the model.
const DefaultMemory = 320 << 20

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
	accuracies
)

var accuracyNames = [accuracies]string{"normal", "fine"}

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
		return a == Normal
	}
	return false
}

// rule is a row of the table that Auto chooses by.
type rule struct {
	upsample  bool // of layers that read through an enlarged image
	pixels    int  // the least, of the output
	algorithm Algorithm
}

// rules are tried in order: a layer of leastChannels or more is computed by the first that it meets, whose
// algorithm fits it and is allowed; Direct stands behind them all.
//
// How many times as fast as Direct, with transformed weights stored and made, with AVX-512 and one worker on
// an Intel server core (bench/algorithms; two workers and AVX2 give the same order, where it is clear):
//
//	channels  image   Winograd2   Winograd4   Winograd6
//	      32    8×8   1.3  1.0    1.6  1.0    0.9  0.6
//	      32  32×32   1.2  1.1    2.0  1.9    1.9  1.8
//	     128    4×4   1.5  0.6    0.5  0.3    0.2  0.2
//	     128    8×8   1.7  1.2    1.5  1.1    0.6  0.6
//	     128  16×16   1.9  1.6    2.8  2.1    2.0  1.7
//	     128  64×64   1.9  1.6    2.9  2.5    3.1  2.4
//	     320    4×4   0.8  0.7    0.4  0.4    0.2  0.2
//	     320    8×8   1.7  1.2    1.1  1.1    0.6  0.6
//	     320  16×16   1.9  1.6    2.9  2.1    2.1  1.6
//	     320  64×64   1.8  1.7    2.9  2.6    2.8  2.5
//	     640    8×8   1.7  1.3    0.7  1.1    0.3  0.6
//	     640  16×16   2.0  1.7    2.0  2.1    1.0  1.7
//	     640  32×32   1.8  1.7    2.4  2.7    1.8  2.1
//	    1280    4×4   0.5  0.8    0.3  0.5    0.1  0.3
//	    1280    8×8   1.1  1.4    0.6  1.0    0.3  0.7
//	    1280  16×16   1.5  1.7    1.7  2.2    1.1  1.8
//
// Of 12 × 12 pixels a tile of the kernel has as much to do by Winograd2 as by Winograd4, of more pixels less by the
// latter. Winograd6 is never faster by more than it loses in accuracy. And of enlargements (to the size that is
// said; Phases alone, and Winograd4 and PhasesWinograd with weights made):
//
//	channels    image   Phases   Winograd4   PhasesWinograd
//	    1280    32×32      2.0         2.5              2.3
//	     640    64×64      2.1         2.7              3.5
//	     256  256×256      2.1         2.7              4.1
var rules = []rule{
	{upsample: true, pixels: 56 * 56, algorithm: PhasesWinograd},
	{upsample: true, pixels: 13 * 13, algorithm: Winograd4},
	{upsample: true, pixels: 16 * 16, algorithm: Phases},
	{upsample: true, pixels: 8 * 8, algorithm: Winograd2},
	{pixels: 13 * 13, algorithm: Winograd4},
	{pixels: 8 * 8, algorithm: Winograd2},
}

// leastChannels is how many channels in and out a layer has at least that Auto computes by a rule: of fewer, the
// transforms cost as much as the products.
const leastChannels = 32

// meets says whether a layer is one that the rule is about.
func (r rule) meets(l Layer) bool {
	w := l.Weights
	return w.Upsample == r.upsample && min(w.In, w.Out) >= leastChannels && l.OutH*l.OutW >= r.pixels
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

// stores says whether it is worth its memory to keep the transformed weights of a layer rather than to make them
// in every run: where they are few enough to come from a cache, or, but for phases, whose four kinds of weights are
// cheap to make, where they are made for so many tiles that it takes several blocks.
func (l Layer) stores(a Algorithm) bool {
	return l.Weights.keeps(Plan{a, true}) <= storedBytes || !a.phased() && l.tiles(a) >= storedTiles
}

// See the measurements beside rules: 320 channels of Winograd4 take 15 MB, 640 of Winograd2 take 26 MB, and 640 of
// Winograd4 take 59 MB.
const (
	storedBytes = 32 << 20
	storedTiles = 128
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
