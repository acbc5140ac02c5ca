package gemm_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// layer is one multiplication to test: its shape and what is fused into it.
type layer struct {
	m, k, n     int
	pad         int // values between rows of a, dst and add
	glu         bool
	bias        bool
	images      int  // rows of the bias for each image; 0 none
	scaled      int  // rows of the prologue's scale and shift; 0 none
	centred     bool // with a mean beside them
	before      kernels.Act
	act         kernels.Act
	gates       int  // rows of the gate; 0 none
	add, addDst bool // a residual; in dst itself
	moments     int  // images that moments are asked of; 0 none
	half        int  // the weights' kernels.HalfType and 1; 0: they have all digits of a float32
}

func (l layer) String() string {
	return kerneltest.Name("m", l.m, "k", l.k, "n", l.n, "pad", l.pad, "glu", l.glu, "bias", l.bias, "images", l.images,
		"scaled", l.scaled, "centred", l.centred, "before", l.before, "act", l.act, "gates", l.gates, "add", l.add, "inplace", l.addDst,
		"moments", l.moments, "half", l.half)
}

// columns is how many rows the weight has.
func (l layer) columns() int {
	if l.glu {
		return 2 * l.n
	}
	return l.n
}

// operands are a layer's inputs, each at the end of readable memory.
type operands struct {
	a, w, dst tensor.Mat
	pro       gemm.Prologue
	ep        gemm.Epilogue
}

func (l layer) operands(t testing.TB) operands {
	o := operands{
		a:   kerneltest.Mat(t, 1, l.m, l.k, l.k+l.pad),
		w:   kerneltest.Mat(t, 2, l.columns(), l.k, l.k),
		dst: kerneltest.Mat(t, 3, l.m, l.n, l.n+l.pad),
		ep:  gemm.Epilogue{Act: l.act},
		pro: gemm.Prologue{Act: l.before},
	}
	if l.half > 0 {
		kerneltest.Truncate(o.w.Data, kernels.HalfType(l.half-1))
	}
	if l.bias {
		o.ep.Bias = kerneltest.Mat(t, 4, 1, l.columns(), l.columns()).Data
	}
	if l.images > 0 {
		o.ep.ImageBias = kerneltest.Mat(t, 5, l.images, l.columns(), l.columns()+1)
	}
	if l.gates > 0 {
		o.ep.Gate = kerneltest.Mat(t, 9, l.gates, l.n, l.n+3)
	}
	if l.moments > 0 {
		o.ep.Moments = tensor.MakeMoments(l.moments, l.m/l.moments, l.n)
		kerneltest.Fill(o.ep.Moments.Data)
	}
	if l.scaled > 0 {
		o.pro.Scale = kerneltest.Mat(t, 6, l.scaled, l.k, l.k)
		o.pro.Shift = kerneltest.Mat(t, 7, l.scaled, l.k, l.k+2)
		if l.centred {
			o.pro.Mean = kerneltest.Mat(t, 10, l.scaled, l.k, l.k+1)
		}
	}
	if !l.addDst {
		kerneltest.Fill(o.dst.Data)
	}
	if l.add {
		o.ep.Add = o.dst
		if !l.addDst {
			o.ep.Add = kerneltest.Mat(t, 8, l.m, l.n, l.n+l.pad)
		}
	}
	return o
}

// truth returns the layer's exact result and the bound of its error: (k+1)·2⁻²⁴·Σ|aᵢbᵢ| for the
// chain, and what the prologue and the epilogue add to it.
func (l layer) truth(o operands) []kerneltest.Approx {
	a, ae := make([]float64, l.m*l.k), make([]float64, l.m*l.k)
	for r := range l.m {
		for c := range l.k {
			x := kerneltest.Approx{V: float64(o.a.Data[r*o.a.Stride+c])}
			if l.scaled > 0 {
				image := r / (l.m / l.scaled)
				scale := float64(o.pro.Scale.Row(image)[c])
				if l.centred {
					x.V -= float64(o.pro.Mean.Row(image)[c])
					x.E = kerneltest.Half * math.Abs(x.V*scale) // of the difference, scaled
				}
				x.V = x.V*scale + float64(o.pro.Shift.Row(image)[c])
				x.E += 2 * kerneltest.Half * math.Abs(x.V)
			}
			x = x.Act(l.before)
			a[r*l.k+c], ae[r*l.k+c] = x.V, x.E
		}
	}
	w := kerneltest.Float64s(kerneltest.Values(o.w))
	cols := l.columns()
	sum, abs := ref.Linear(l.m, cols, l.k, a, w)
	_, spread := ref.Linear(l.m, cols, l.k, ae, w)
	element := func(r, c int) kerneltest.Approx {
		i, bias := r*cols+c, 0.0
		switch {
		case l.bias:
			bias = float64(o.ep.Bias[c])
		case l.images > 0:
			bias = float64(o.ep.ImageBias.Row(r / (l.m / l.images))[c])
		}
		x := kerneltest.Sum(l.k, sum[i]+bias, abs[i]+math.Abs(bias))
		x.E += spread[i]
		return x
	}
	want := make([]kerneltest.Approx, 0, l.m*l.n)
	for r := range l.m {
		for c := range l.n {
			x := element(r, c)
			if l.glu {
				x = x.Times(element(r, l.n+c).Act(l.act))
			} else {
				x = x.Act(l.act)
			}
			if l.gates > 0 {
				x = x.Times(kerneltest.Approx{V: float64(o.ep.Gate.Row(r / (l.m / l.gates))[c])})
			}
			if l.add {
				x = x.Plus(float64(o.ep.Add.Data[r*o.ep.Add.Stride+c]))
			}
			want = append(want, x)
		}
	}
	return want
}

// run computes the layer in o.dst.
func (l layer) run(e *engine.Engine, o operands) {
	pack := gemm.Pack
	if l.glu {
		pack = gemm.PackGLU
	}
	gemm.Mul(e, o.dst, o.a, pack(e, o.w), o.pro, o.ep)
}

// check runs the layer, compares with the truth and returns dst.
func (l layer) check(t testing.TB, e *engine.Engine) []float32 {
	t.Helper()
	o := l.operands(t)
	want := l.truth(o)
	l.run(e, o)
	if !l.addDst {
		kerneltest.UntouchedBetween(t, l.String(), o.dst)
	}
	kerneltest.NearAll(t, l.String(), kerneltest.Values(o.dst), want)
	if l.moments > 0 {
		l.checkMoments(t, e.Set(), o)
	}
	return kerneltest.Values(o.dst)
}

// checkMoments compares the moments with those of dst.
func (l layer) checkMoments(t testing.TB, set *kernels.Set, o operands) {
	t.Helper()
	got, want := o.ep.Moments, tensor.MakeMoments(l.moments, l.m/l.moments, l.n)
	for image := range l.moments {
		for b := range want.Blocks() {
			first := b * tensor.MomentPixels
			block := o.dst.Slice(image*want.Pixels+first, image*want.Pixels+min(first+tensor.MomentPixels, want.Pixels))
			ref, sum, square := want.Block(image, b)
			copy(ref, block.Row(0))
			set.Moments(&kernels.MomentsArgs{Rows: block.Rows, Cols: l.n, Src: block.Data, Stride: block.Stride,
				Ref: ref, Sum: sum, Square: square})
		}
	}
	kerneltest.Same(t, l.String()+": moments", got.Data, want.Data)
}

func TestMulGate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		n := set.GEMM.NR + 5
		for _, images := range []int{1, 2, 5, 30} {
			layer{m: 30, k: 9, n: n, pad: 1, bias: true, gates: images}.check(t, e)
			layer{m: 30, k: set.GEMM.KC + 3, n: n, images: images, gates: images, act: kernels.SiLU, add: true, addDst: true}.check(t, e)
		}
	})
}

func TestMulMoments(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		n := set.GEMM.NR + 5
		for _, pixels := range []int{1, 2, 40, 255, 256, 257, 600} {
			layer{m: 2 * pixels, k: 9, n: n, pad: 1, bias: true, moments: 2}.check(t, e)
			layer{m: pixels, k: 9, n: n, glu: true, act: kernels.GELU, add: true, addDst: true, moments: 1}.check(t, e)
		}
		layer{m: 3 * 50, k: set.GEMM.KC + 3, n: n, images: 3, gates: 3, act: kernels.SiLU, moments: 3}.check(t, e)
	})
}

func TestMulRows(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for m := range 2*set.GEMM.MR + 2 {
			layer{m: m, k: 19, n: set.GEMM.NR + 3, pad: 5, bias: true}.check(t, e)
		}
	})
}

func TestMulColumns(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for n := range 2*set.GEMM.NR + 2 {
			layer{m: set.GEMM.MR + 2, k: 7, n: n, bias: true, add: true}.check(t, e)
			layer{m: 3, k: 7, n: n, bias: true, glu: true, act: kernels.GELU}.check(t, e)
		}
	})
}

func TestMulChain(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		kc := set.GEMM.KC
		for _, k := range []int{0, 1, 2, 3, 16, 101, 512, 1024, kc - 1, kc, kc + 1, 2*kc + 5} {
			n := set.GEMM.NR + 1
			layer{m: 5, k: k, n: n, add: true, addDst: true}.check(t, e)
			layer{m: set.GEMM.MR + 1, k: k, n: n, bias: true, glu: true, act: kernels.SiLU}.check(t, e)
			layer{m: 4, k: k, n: n, pad: 3, images: 2, scaled: 2, before: kernels.SiLU}.check(t, e)
		}
	})
}

func TestMulEpilogue(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		n := 2*set.GEMM.NR + 5
		for _, act := range kernels.Acts() {
			for _, glu := range []bool{false, true} {
				l := layer{m: 25, k: 17, n: n, pad: 2, glu: glu, act: act}
				l.check(t, e)
				l.bias, l.add = true, true
				l.check(t, e)
				l.addDst = true
				l.check(t, e)
			}
		}
		for _, images := range []int{1, 2, 3, 6, 30} {
			for _, glu := range []bool{false, true} {
				layer{m: 30, k: 9, n: n, glu: glu, images: images, act: kernels.SiLU}.check(t, e)
				layer{m: 30, k: 9, n: n, glu: glu, images: images, add: true, addDst: true}.check(t, e)
			}
		}
	})
}

func TestMulPrologue(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		n := set.GEMM.NR + 5
		for _, act := range []kernels.Act{kernels.Identity, kernels.SiLU, kernels.GELU} {
			for _, images := range []int{0, 1, 2, 5, 30} {
				l := layer{m: 30, k: 21, n: n, pad: 4, scaled: images, before: act, bias: true}
				l.check(t, e)
				l.centred = true
				l.check(t, e)
			}
		}
	})
}

// A NaN or an infinity in a row or a column of the operands reaches the results that it enters,
// and no other.
func TestMulSpecials(t *testing.T) {
	inf := float32(math.Inf(1))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, v := range []float32{float32(math.NaN()), inf, -inf} {
			for _, in := range []string{"a", "w"} {
				l := layer{m: set.GEMM.MR + 2, k: 11, n: set.GEMM.NR + 2, bias: true}
				o := l.operands(t)
				at := o.a
				if in == "w" {
					at = o.w
				}
				at.Row(at.Rows - 1)[5] = v
				l.run(e, o)
				for r := range l.m {
					for c, got := range o.dst.Row(r) {
						hit := in == "a" && r == l.m-1 || in == "w" && c == l.n-1
						other := o.w.Row(c)[5]
						if in == "w" {
							other = o.a.Row(r)[5]
						}
						if want := v * other; hit && !(got == want || want != want && got != got) || !hit && !finite(got) {
							t.Fatalf("%v in %s: dst[%d][%d] = %v", v, in, r, c, got)
						}
					}
				}
			}
		}
	})
}

func finite(v float32) bool { return v-v == 0 }

func TestMulPanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	w := gemm.Pack(e, tensor.MakeMat(6, 4))
	glu := gemm.PackGLU(e, tensor.MakeMat(6, 4))
	a, dst := tensor.MakeMat(8, 4), tensor.MakeMat(8, 6)
	mul := func(pro gemm.Prologue, ep gemm.Epilogue) func() {
		return func() { gemm.Mul(e, dst, a, w, pro, ep) }
	}
	cases := map[string]func(){
		"columns of a":    func() { gemm.Mul(e, dst, tensor.MakeMat(8, 5), w, gemm.Prologue{}, gemm.Epilogue{}) },
		"rows of a":       func() { gemm.Mul(e, dst, tensor.MakeMat(7, 4), w, gemm.Prologue{}, gemm.Epilogue{}) },
		"columns of dst":  func() { gemm.Mul(e, dst, a, glu, gemm.Prologue{}, gemm.Epilogue{}) },
		"short dst":       func() { gemm.Mul(e, tensor.Mat{Rows: 8, Cols: 6, Stride: 6}, a, w, gemm.Prologue{}, gemm.Epilogue{}) },
		"bias":            mul(gemm.Prologue{}, gemm.Epilogue{Bias: make([]float32, 5)}),
		"two biases":      mul(gemm.Prologue{}, gemm.Epilogue{Bias: make([]float32, 6), ImageBias: tensor.MakeMat(2, 6)}),
		"image bias":      mul(gemm.Prologue{}, gemm.Epilogue{ImageBias: tensor.MakeMat(3, 6)}),
		"add":             mul(gemm.Prologue{}, gemm.Epilogue{Add: tensor.MakeMat(7, 6)}),
		"scale alone":     mul(gemm.Prologue{Scale: tensor.MakeMat(1, 4)}, gemm.Epilogue{}),
		"scale":           mul(gemm.Prologue{Scale: tensor.MakeMat(1, 5), Shift: tensor.MakeMat(1, 5)}, gemm.Epilogue{}),
		"scale and shift": mul(gemm.Prologue{Scale: tensor.MakeMat(2, 4), Shift: tensor.MakeMat(1, 4)}, gemm.Epilogue{}),
		"mean alone":      mul(gemm.Prologue{Mean: tensor.MakeMat(1, 4)}, gemm.Epilogue{}),
		"mean":            mul(gemm.Prologue{Mean: tensor.MakeMat(1, 5), Scale: tensor.MakeMat(1, 4), Shift: tensor.MakeMat(1, 4)}, gemm.Epilogue{}),
		"mean and scale":  mul(gemm.Prologue{Mean: tensor.MakeMat(2, 4), Scale: tensor.MakeMat(1, 4), Shift: tensor.MakeMat(1, 4)}, gemm.Epilogue{}),
		"odd GLU":         func() { gemm.PackGLU(e, tensor.MakeMat(5, 4)) },
		"taps":            func() { gemm.PackTaps(e, tensor.MakeMat(5, 4), 3) },
		"taps in Mul": func() {
			gemm.Mul(e, dst, a, gemm.PackTaps(e, tensor.MakeMat(6, 8), 2), gemm.Prologue{}, gemm.Epilogue{})
		},
		"weights of a Set": func() { gemm.Mul(kerneltest.Engine(t, &kernels.Set{}, 1), dst, a, w, gemm.Prologue{}, gemm.Epilogue{}) },
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if _, ok := recover().(string); !ok {
					t.Error("no panic with a message")
				}
			}()
			f()
		})
	}
}

func FuzzMul(f *testing.F) {
	f.Add(uint8(13), uint16(20), uint8(33), uint8(1), uint32(0))
	f.Add(uint8(24), uint16(513), uint8(9), uint8(0), uint32(0x1ff))
	f.Add(uint8(1), uint16(1), uint8(1), uint8(7), uint32(0x2a))
	f.Add(uint8(17), uint16(513), uint8(0), uint8(235), uint32(594))
	f.Add(uint8(40), uint16(33), uint8(130), uint8(3), uint32(0xf804))
	f.Add(uint8(39), uint16(801), uint8(70), uint8(0), uint32(0x1a807))
	f.Add(uint8(2), uint16(1000), uint8(150), uint8(1), uint32(0x20102))
	f.Add(uint8(30), uint16(700), uint8(150), uint8(1), uint32(0x4102))
	f.Fuzz(func(t *testing.T, m uint8, k uint16, n, pad uint8, bits uint32) {
		l := layer{m: int(m % 64), k: int(k % 1024), n: int(n % 160), pad: int(pad % 20)}
		l.glu, l.bias, l.add, l.addDst = bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0
		l.addDst = l.addDst && l.add
		l.act = kernels.Acts()[int(bits>>4&15)%(len(kernels.Acts())-1)] // but Exp, which overflows
		if l.m > 0 {
			images := 1
			for _, n := range []int{2, 3, 5, 7} { // a divisor
				if l.m%n == 0 {
					images = n
				}
			}
			if bits&0x100 != 0 {
				l.scaled, l.centred, l.before = 1, bits&0x4000 != 0, kernels.SiLU
			}
			if bits&0x200 != 0 && !l.bias {
				l.images = images
			}
			if bits&0x800 != 0 && !l.glu {
				l.gates = images
			}
			if bits&0x1000 != 0 && l.n > 0 {
				l.moments = images
			}
			if bits&0x2000 != 0 {
				l.m *= 9 // several blocks
			}
		}
		l.half = int(bits>>16) % 3
		var first []float32
		for _, set := range kernels.Available() {
			got := l.check(t, kerneltest.Engine(t, set, 1+int(bits>>10&1)))
			if first == nil {
				first = got
			}
			if set.ISA != kernels.Generic {
				kerneltest.Same(t, l.String(), got, first)
			}
		}
	})
}

// specials are values that a chain has to treat as IEEE 754 says.
var specials = []float32{
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1)),
	math.SmallestNonzeroFloat32, -0x1p-130, math.MaxFloat32, -math.MaxFloat32, 1,
}

// The Sets agree on what comes of special values anywhere in the operands: those of assembly to the
// bit, NaNs apart, and generic in what is NaN or infinite.
func FuzzMulSpecials(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint8(12), uint8(70), uint8(3))
	f.Add(uint64(2), uint8(1), uint8(40), uint8(17), uint8(30))
	f.Fuzz(func(t *testing.T, seed uint64, m, k, n, many uint8) {
		l := layer{m: 1 + int(m%40), k: int(k % 100), n: 1 + int(n%140), bias: seed&1 != 0, add: seed&2 != 0, addDst: seed&4 != 0}
		l.addDst = l.addDst && l.add
		var first []float32
		for _, set := range kernels.Available() {
			r := rand.New(rand.NewPCG(seed, 1))
			o := l.operands(t)
			for _, x := range [][]float32{o.a.Data, o.w.Data, o.ep.Bias, o.ep.Add.Data} {
				for range min(int(many), len(x)) {
					x[r.IntN(len(x))] = specials[r.IntN(len(specials))]
				}
			}
			l.run(kerneltest.Engine(t, set, 2), o)
			got := kerneltest.Values(o.dst)
			if first == nil {
				first = got
			}
			for i, x := range got {
				y := first[i]
				same := math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
				if set.ISA == kernels.Generic {
					same = (x-x == 0) == (y-y == 0) && (x-x == 0 || x == y || x != x && y != y)
				}
				if !same {
					t.Fatalf("%v, %v: dst[%d] = %g (%#08x), the first Set's is %g (%#08x)",
						l, set.ISA, i, x, math.Float32bits(x), y, math.Float32bits(y))
				}
			}
		}
	})
}

// A worker's arguments belong to whoever runs a tile; what another operator left in them is nothing
// to a product.
func TestMulSetsAllArguments(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 1)
		a := tensor.Mat{Rows: 9, Cols: 5, Stride: 5, Data: kerneltest.Random(1, 9*5)}
		packed := gemm.Pack(e, tensor.Mat{Rows: 40, Cols: 5, Stride: 5, Data: kerneltest.Random(2, 40*5)})
		want, got := tensor.MakeMat(9, 40), tensor.MakeMat(9, 40)
		gemm.Mul(e, want, a, packed, gemm.Prologue{}, gemm.Epilogue{})
		e.For(1, engine.Scratch{}, engine.Func(func(w *engine.Worker, _ int) {
			w.Args.Tile = kernels.TileArgs{Init: []float32{1}, Add: kerneltest.Random(3, 4096), AddStride: 64}
		}))
		gemm.Mul(e, got, a, packed, gemm.Prologue{}, gemm.Epilogue{})
		kerneltest.Same(t, "product", got.Data, want.Data)
	})
}

func TestEqual(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	w := tensor.Mat{Rows: 4, Cols: 6, Stride: 6, Data: kerneltest.Random(1, 24)}
	p := gemm.Pack(e, w)
	if !p.Equal(gemm.Pack(e, w)) {
		t.Error("the same weights differ")
	}
	other := tensor.Mat{Rows: 4, Cols: 6, Stride: 6, Data: append([]float32(nil), w.Data...)}
	other.Data[23]++
	for name, q := range map[string]*gemm.Packed{
		"a value": gemm.Pack(e, other), "columns": gemm.Pack(e, w.Columns(0, 5)), "rows": gemm.Pack(e, w.Slice(0, 3)),
		"gates": gemm.PackGLU(e, w), "taps": gemm.PackTaps(e, w, 2),
	} {
		if p.Equal(q) {
			t.Errorf("weights that differ in %s are the same", name)
		}
	}
}
