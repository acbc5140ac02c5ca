package conv

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/winograd"
)

// Algorithm is a way to compute a convolution.
type Algorithm uint8

const (
	// Auto is the choice of Packed.Choose. It is no algorithm by itself.
	Auto Algorithm = iota
	// Direct is the implicit matrix multiplication: one chain of multiply-adds for each output.
	Direct
	// Winograd2, Winograd4 and Winograd6 are Winograd's F(2×2, 3×3), F(4×4, 3×3) and F(6×6, 3×3), for
	// 3 × 3 taps and stride 1: 2.25, 4 and 5.06 times fewer multiplications.
	Winograd2
	Winograd4
	Winograd6
	// Phases folds an enlargement to twice the size into the 3 × 3 taps that follow: four convolutions
	// of 2 × 2 taps on the small image, whose weights are sums of taps. 2.25 times fewer multiplications.
	Phases
	// PhasesWinograd is F(5×5, 2×2) of the four phases: 6.25 times fewer.
	PhasesWinograd
	algorithms
)

var algorithmNames = [algorithms]string{"auto", "direct", "winograd2", "winograd4", "winograd6", "phases", "phases-winograd"}

// String returns the algorithm's name.
func (a Algorithm) String() string { return algorithmNames[a] }

// MarshalText returns the algorithm's name.
func (a Algorithm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText sets a to the algorithm of a name.
func (a *Algorithm) UnmarshalText(name []byte) error {
	i := slices.Index(algorithmNames[:], string(name))
	if i < 0 {
		return fmt.Errorf("conv: unknown algorithm %q (algorithms: %s)", name, strings.Join(algorithmNames[:], ", "))
	}
	*a = Algorithm(i)
	return nil
}

// fast returns the fast convolution that a is made of, if it is.
func (a Algorithm) fast() (k winograd.Kind, ok bool) {
	switch a {
	case Winograd2:
		return winograd.F2, true
	case Winograd4:
		return winograd.F4, true
	case Winograd6:
		return winograd.F6, true
	case PhasesWinograd:
		return winograd.F5, true
	}
	return 0, false
}

// Tiled says whether a is a Winograd algorithm, which reads its input in blocks of tiles that overlap by a
// pixel or two.
func (a Algorithm) Tiled() bool { _, fast := a.fast(); return fast }

// phased says whether a computes the four phases of an enlargement.
func (a Algorithm) phased() bool { return a == Phases || a == PhasesWinograd }

// Plan is how a convolution is computed.
type Plan struct {
	Algorithm Algorithm // not Auto
	// Stored says that the transformed weights of a Winograd algorithm, t²/9 times as large as the
	// weights themselves, are kept. Otherwise they are made anew by every Apply, panel by panel.
	Stored bool
}

// String returns the plan's name.
func (p Plan) String() string {
	if _, fast := p.Algorithm.fast(); fast && !p.Stored {
		return p.Algorithm.String() + "-unstored"
	}
	return p.Algorithm.String()
}

// Plan returns how Apply computes with p.
func (p *Packed) Plan() Plan { return p.plan }

// others are the same weights for other plans, each there once while somebody has it.
type others struct {
	mu   sync.Mutex
	made map[Plan]weak.Pointer[Packed]
}

// With returns the weights p for another plan. What the two have in common is there once, and so are
// the weights for a plan, for all who ask for it: transformed weights live as long as one of them. It
// panics where p cannot be computed so for any image.
func (p *Packed) With(e *engine.Engine, plan Plan) *Packed {
	plan.Stored = plan.Stored && plan.Algorithm.storable()
	if plan == p.plan {
		return p
	}
	if !p.Fits(plan.Algorithm, 1, 1, 2, 2) {
		panic(fmt.Sprintf("conv: %v for %+v", plan, p.Geometry))
	}
	p.others.mu.Lock()
	defer p.others.mu.Unlock()
	if q := p.others.made[plan].Value(); q != nil {
		return q
	}
	q := &Packed{Geometry: p.Geometry, In: p.In, Out: p.Out, panels: p.panels, joined: p.joined, spread: p.spread, plan: plan, others: p.others}
	if plan.Stored {
		q.stored = p.transform(e, plan.Algorithm)
	}
	if plan.Algorithm.phased() && !plan.Stored {
		q.phases = p.sumPhases(e)
	}
	if p.others.made == nil {
		p.others.made = make(map[Plan]weak.Pointer[Packed])
	}
	p.others.made[plan] = weak.Make(q)
	return q
}

// Fits says whether an algorithm can compute the convolution for an image of h × w pixels to one of
// H × W.
func (p *Packed) Fits(a Algorithm, h, w, H, W int) bool {
	square := p.KH == 3 && p.KW == 3 && p.Stride == 1
	switch a {
	case Direct:
		return true
	case Winograd2, Winograd4, Winograd6:
		return square && p.In > 0
	case Phases, PhasesWinograd:
		return square && p.Upsample && p.Top == 1 && p.Left == 1 && H == 2*h && W == 2*w && p.In > 0
	}
	return false
}
