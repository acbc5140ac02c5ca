package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/internal/winograd"
)

// A transformer emits a two-dimensional transform of a vector's worth of channels: a first pass over
// the columns of a grid, a second over its rows.
//
// Register plan: multipliers, as many as there is room for (the others are operands in memory), then
// what a transform along one axis needs at once, and in all others what the first pass leaves for
// the second. What finds no register waits in Temp, which stays in the first-level cache.
type transformer struct {
	*emitter
	*winograd.Transform
	temp        reg.GPPhysical
	free        []reg.VecPhysical
	multipliers map[float32]reg.VecPhysical
	grid        map[int]kept // what the first pass left, by row·Points + column
	room        int          // registers that the grid may still take
	slots       int          // of Temp that the grid has taken
}

// kept is a value that waits in a register or, without one, in a slot of Temp.
type kept struct {
	v    reg.VecPhysical
	slot int
}

// newTransformer emits the loads of multipliers. work is how many registers a transform along one
// axis takes.
func newTransformer(e *emitter, t *winograd.Transform, temp reg.GPPhysical, work int, multipliers []float32) *transformer {
	x := &transformer{emitter: e, Transform: t, temp: temp, grid: make(map[int]kept), multipliers: make(map[float32]reg.VecPhysical)}
	x.free = append(x.free, e.Regs...)
	if !e.wide() {
		x.free = x.free[:len(x.free)-1] // the mask
	}
	for _, c := range multipliers {
		if c < 0 {
			c = -c
		}
		if _, ok := x.multipliers[c]; ok || c == 1 || len(x.free) == work {
			continue
		}
		v := x.take()
		e.VMOVUPS(e.constant(c), v)
		x.multipliers[c] = v
	}
	x.room = len(x.free) - work
	return x
}

// take returns a free register.
func (x *transformer) take() reg.VecPhysical {
	if len(x.free) == 0 {
		panic(x.family + ": out of registers")
	}
	v := x.free[0]
	x.free = x.free[1:]
	return v
}

// give makes registers free.
func (x *transformer) give(v ...reg.VecPhysical) { x.free = append(x.free, v...) }

// keep leaves a value for the second pass.
func (x *transformer) keep(at int, v reg.VecPhysical) {
	if x.room > 0 {
		x.room--
		x.grid[at] = kept{v: v}
		return
	}
	x.VMOVUPS(v, x.vector(x.temp, x.slots))
	x.grid[at] = kept{slot: x.slots}
	x.slots++
	x.give(v)
}

// fetch returns what keep left, in a register.
func (x *transformer) fetch(at int) reg.VecPhysical {
	k := x.grid[at]
	delete(x.grid, at)
	if len(x.grid) == 0 {
		x.slots = 0
	}
	if k.v != nil {
		x.room++
		return k.v
	}
	v := x.take()
	x.VMOVUPS(x.vector(x.temp, k.slot), v)
	return v
}

// multiplier is an operand that holds a positive constant in every lane.
func (x *transformer) multiplier(c float32) Op {
	if v, ok := x.multipliers[c]; ok {
		return v
	}
	return x.constant(c)
}

// fma emits dst = c·v + acc. A sum or a difference has the bits of the fused operation with ±1. Where acc
// is needed again, a wide vector takes the multiplier from memory first and becomes the result: a copy would
// take one of the two ports that multiply, which are the bottleneck. AVX2 has a third port for copies.
func (x *transformer) fma(c float32, v, acc, dst reg.VecPhysical) {
	switch {
	case c == 1:
		x.VADDPS(v, acc, dst)
	case c == -1:
		x.VSUBPS(v, acc, dst)
	case dst != acc && x.wide():
		if c < 0 {
			x.VMOVUPS(x.constant(-c), dst)
			x.VFNMADD213PS(acc, v, dst)
		} else {
			x.VMOVUPS(x.constant(c), dst)
			x.VFMADD213PS(acc, v, dst)
		}
	default:
		if dst != acc {
			x.VMOVAPS(acc, dst)
		}
		if c < 0 {
			x.VFNMADD231PS(x.multiplier(-c), v, dst)
		} else {
			x.VFMADD231PS(x.multiplier(c), v, dst)
		}
	}
}

// polynomial emits dst = Σ c[k]·d[k] in falling k, where the last of c is 1.
func (x *transformer) polynomial(c []float32, d []reg.VecPhysical, dst reg.VecPhysical) {
	acc := d[len(d)-1]
	for k := len(d) - 2; k >= 0; k-- {
		x.fma(c[k], d[k], acc, dst)
		acc = dst
	}
}

// A loader returns the k-th value of a line in a register that may be overwritten; a storer takes one.
type (
	loader func(k int) reg.VecPhysical
	storer func(k int, v reg.VecPhysical)
)

// inputWork is how many registers input takes.
func inputWork(t *winograd.Transform) int { return max(3, 3*len(t.Pairs)-1) }

// input emits kernels.WinogradInputArgs's transform along one axis.
func (x *transformer) input(load loader, store storer) {
	n := len(x.Pairs)
	line := func(first int) []reg.VecPhysical {
		d := make([]reg.VecPhysical, n+1)
		for k := range d {
			d[k] = load(2*k + first)
		}
		return d
	}
	// parts evaluates every Qᵢ, the last of them in the place of d's last.
	parts := func(d []reg.VecPhysical) []reg.VecPhysical {
		p := make([]reg.VecPhysical, n)
		for i := range p {
			p[i] = d[n-1]
			if i < n-1 {
				p[i] = x.take()
			}
			x.polynomial(x.Q[i], d, p[i])
		}
		x.give(d[:n-1]...)
		return p
	}
	d := line(0)
	zero := x.take()
	x.polynomial(x.C, d, zero)
	store(0, zero)
	x.give(d[0])
	even := parts(d[1:])
	d = line(1)
	x.polynomial(x.C, d, d[n])
	store(x.Points-1, d[n])
	odd := parts(d[:n])
	for i, p := range x.Pairs {
		plus := x.take()
		x.fma(float32(p), odd[i], even[i], plus)
		store(2*i+1, plus)
		x.fma(-float32(p), odd[i], even[i], even[i])
		store(2*i+2, even[i])
		x.give(odd[i])
	}
}

// outputWork is how many registers output takes where all results stay in registers.
func outputWork(t *winograd.Transform) int { return 2*len(t.Pairs) + (t.Outputs+1)/2 + 1 }

// output emits kernels.WinogradOutputArgs's transform along one axis.
func (x *transformer) output(load loader, store storer) {
	var parts [2][]reg.VecPhysical // sums and differences
	for i := range x.Pairs {
		plus, minus, sum := load(2*i+1), load(2*i+2), x.take()
		x.VADDPS(minus, plus, sum)
		x.VSUBPS(minus, plus, plus)
		x.give(minus)
		parts[0], parts[1] = append(parts[0], sum), append(parts[1], plus)
	}
	finish := func(j int, y reg.VecPhysical) {
		if j == x.Outputs-1 {
			last := load(x.Points - 1)
			x.VADDPS(last, y, y)
			x.give(last)
		}
		store(j, y)
	}
	y := load(0)
	for _, sum := range parts[0] {
		x.VADDPS(sum, y, y)
	}
	finish(0, y)
	for parity, part := range parts {
		from := 2 - parity
		for j := from; j < x.Outputs; j += 2 {
			y, acc := part[0], part[0]
			if j+2 < x.Outputs { // part[0] is needed again
				y = x.take()
			}
			if c := x.Power[0][j]; c != 1 {
				x.VMULPS(x.multiplier(c), part[0], y)
				acc = y
			}
			for i := 1; i < len(part); i++ {
				x.fma(x.Power[i][j], part[i], acc, y)
				acc = y
			}
			finish(j, y)
		}
		if from >= x.Outputs {
			x.give(part[0])
		}
		x.give(part[1:]...)
	}
}

// weightsWork is how many registers weights takes.
func weightsWork(t *winograd.Transform) int { return t.Taps + 2 }

// weights emits kernels.WinogradWeightsArgs's transform along one axis.
func (x *transformer) weights(load loader, store storer) {
	g := make([]reg.VecPhysical, x.Taps)
	for k := range g {
		g[k] = load(k)
	}
	zero := x.take()
	x.VMULPS(x.signed(x.Zero), g[0], zero)
	store(0, zero)
	for i, c := range x.Weight {
		plus, minus := x.take(), x.take()
		x.VMULPS(x.signed(c[0]), g[0], minus)
		if x.Taps == 3 {
			x.fma(c[2], g[2], minus, minus)
		}
		x.fma(c[1], g[1], minus, plus)
		store(2*i+1, plus)
		x.fma(-c[1], g[1], minus, minus)
		store(2*i+2, minus)
	}
	store(x.Points-1, g[x.Taps-1])
	x.give(g[:x.Taps-1]...)
}

// signed is an operand that holds a constant of any sign in every lane.
func (x *transformer) signed(c float32) Op {
	if c > 0 {
		return x.multiplier(c)
	}
	return x.constant(c)
}
