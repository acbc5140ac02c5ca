package conv_test

import (
	"math"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/internal/winograd"
)

// The bounds of this file follow a Winograd algorithm step by step, on the operands of the test. With
// u = 2⁻²⁴, a term that takes part in k roundings is off by γ(k) = k·u/(1−k·u) of itself at most
// (Higham 2002, Accuracy and Stability of Numerical Algorithms, lemma 3.1). So for one tile d, whose
// values are off by e_d, with U = G g Gᵀ, V = Bᵀ d B and M = Σ U ⊙ V over channels, all absolute values
// element by element, and n pairs of points,
//
//	e_V = γ(2(n+2))·|Bᵀ||d||B| + |Bᵀ| e_d |B|
//	e_U = u·|U|, stored;    γ(2(r+1))·|G||g||Gᵀ|, made    (γ(2(r+1)+1), of sums that are rounded before)
//	e_M = Σ (|U|·e_V + e_U·|V| + e_U·e_V + γ(k)·(|U|+e_U)·(|V|+e_V))
//	e_Y = |Aᵀ|(e_M + γ(2(n+3))·(|M|+e_M))|A|
//
// Along an axis, a term of an input is a coefficient, rounded once, in up to n multiply-adds; one of
// taps a coefficient in a product and r−1 multiply-adds; one of an output a power in a sum, n
// multiply-adds and a sum. A product of U and V is in a chain of at most 128 channels (and in fewer
// where there are not as many), and in the sums of all chains: k = min(I, 128) + ⌈I/128⌉ − 1.
//
// The matrices are those of package ref. Their absolute values are what the factored transforms multiply
// terms by, since no coefficient is made of terms of both signs.

// gamma bounds the relative error of a term after k roundings.
func gamma(k int) float64 {
	x := float64(k) * kerneltest.Half
	return x / (1 - x)
}

// chain is how many roundings there are in a sum over channels.
func chain(channels int) int {
	const piece = 128
	return min(channels, piece) + (channels+piece-1)/piece - 1
}

// kinds are the fast convolutions that algorithms are made of.
var kinds = map[conv.Algorithm]winograd.Kind{
	conv.Winograd2: winograd.F2, conv.Winograd4: winograd.F4, conv.Winograd6: winograd.F6, conv.PhasesWinograd: winograd.F5,
}

// fastErrors bounds the errors of a fast convolution.
type fastErrors struct {
	ref.Conv
	x           *winograd.Transform
	bt, at      [][]float64
	u, eU       []float64 // of input i and output o from (i·Out+o)·t² on
	src, spread []float64 // N × H × W × In, and how far it is off
}

// newFastErrors transforms the weights w, Out × In × r × r: sums that are rounded before they are transformed, where
// sums says so and they are not stored.
func newFastErrors(shape ref.Conv, kind winograd.Kind, src, spread, w []float64, stored, sums bool) *fastErrors {
	f := &fastErrors{Conv: shape, x: kind.Transform(), src: src, spread: spread}
	var g [][]float64
	f.bt, g, f.at = ref.Winograd(f.x.Outputs, f.x.Taps, f.x.Pairs)
	made := 2 * (f.x.Taps + 1)
	if sums {
		made++
	}
	taps := f.x.Taps * f.x.Taps
	for i := range f.In {
		for o := range f.Out {
			u, abs := ref.Sandwich(g, w[(o*f.In+i)*taps:][:taps])
			f.u = append(f.u, u...)
			for a := range u {
				e := gamma(made) * abs[a]
				if stored {
					e = kerneltest.Half*math.Abs(u[a]) + 0x1p-48*abs[a] // from float64, which is not exact either
				}
				f.eU = append(f.eU, e)
			}
		}
	}
	return f
}

// tile returns the bounds of a tile's pixels: of output channel o of pixel b at o·m²+b. Its first input is pixel
// (top, left) of image n.
func (f *fastErrors) tile(n, top, left int) []float64 {
	pairs, t := len(f.x.Pairs), f.x.Points
	input, sum, output := gamma(2*(pairs+2)), gamma(chain(f.In)), gamma(2*(pairs+3))
	tt := t * t
	m, eM := make([]float64, f.Out*tt), make([]float64, f.Out*tt)
	d, eD := make([]float64, tt), make([]float64, tt)
	for i := range f.In {
		for b := range tt {
			d[b], eD[b] = 0, 0
			if y, x := top+b/t, left+b%t; y >= 0 && y < f.H && x >= 0 && x < f.W {
				at := ((n*f.H+y)*f.W+x)*f.In + i
				d[b], eD[b] = f.src[at], f.spread[at]
			}
		}
		v, eV := ref.Sandwich(f.bt, d)
		_, spread := ref.Sandwich(f.bt, eD)
		for a := range eV {
			eV[a] = input*eV[a] + spread[a]
		}
		for o := range f.Out {
			at := (i*f.Out + o) * tt
			u, eU, m, eM := f.u[at:at+tt], f.eU[at:at+tt], m[o*tt:(o+1)*tt], eM[o*tt:(o+1)*tt]
			for a := range tt {
				absU, absV := math.Abs(u[a]), math.Abs(v[a])
				m[a] += u[a] * v[a]
				eM[a] += absU*eV[a] + eU[a]*(absV+eV[a]) + sum*(absU+eU[a])*(absV+eV[a])
			}
		}
	}
	var bounds []float64
	for o := range f.Out {
		m, eM := m[o*tt:(o+1)*tt], eM[o*tt:(o+1)*tt]
		for a := range m {
			eM[a] += output * (math.Abs(m[a]) + eM[a])
		}
		_, eY := ref.Sandwich(f.at, eM)
		bounds = append(bounds, eY...)
	}
	return bounds
}

// tileErrors bounds the errors of l's algorithm where the taps see src, of the given shape: tiles start at the
// output's first pixel.
func (l layer) tileErrors(shape ref.Conv, src, spread, w []float64) []float64 {
	f := newFastErrors(shape, kinds[l.by], src, spread, w, l.stored, false)
	oh, ow := shape.Size()
	m := f.x.Outputs
	all := make([]float64, l.n*oh*ow*l.out)
	for n := range l.n {
		for y := 0; y < oh; y += m {
			for x := 0; x < ow; x += m {
				for i, e := range f.tile(n, y-l.g.Top, x-l.g.Left) {
					o, py, px := i/(m*m), y+i/m%m, x+i%m
					if py < oh && px < ow {
						all[((n*oh+py)*ow+px)*l.out+o] = e
					}
				}
			}
		}
	}
	return all
}

// phaseErrors bounds the errors of the four phases of an image enlarged twofold, src being the small one. Their
// tiles are of the same pixels, from one above and left of the image on, so that the tiles of phases of odd rows or
// columns start one output earlier.
func (l layer) phaseErrors(src, spread, w []float64) []float64 {
	small := l.truthShape(l.h, l.w)
	all := make([]float64, l.n*l.toH*l.toW*l.out)
	for phase := range 4 {
		oddY, oddX := phase/2, phase%2
		sums := make([]float64, l.out*l.in*4)
		for i := range sums {
			// Of two taps of even rows the first is row 0 of the three, the second rows 1 and 2; of odd
			// rows the first is rows 0 and 1, the second row 2.
			taps := w[i/4*9:][:9]
			for ky := range 3 {
				for kx := range 3 {
					if (ky+1-oddY)/2 == i/2%2 && (kx+1-oddX)/2 == i%2 {
						sums[i] += taps[ky*3+kx]
					}
				}
			}
		}
		f := newFastErrors(small, winograd.F5, src, spread, sums, l.stored, true)
		m := f.x.Outputs
		for n := range l.n {
			for ty := 0; ty-oddY < l.h; ty += m {
				for tx := 0; tx-oddX < l.w; tx += m {
					for i, e := range f.tile(n, ty-1, tx-1) {
						o, py, px := i/(m*m), ty+i/m%m-oddY, tx+i%m-oddX
						if py >= 0 && py < l.h && px >= 0 && px < l.w {
							all[((n*l.toH+2*py+oddY)*l.toW+2*px+oddX)*l.out+o] = e
						}
					}
				}
			}
		}
	}
	return all
}
