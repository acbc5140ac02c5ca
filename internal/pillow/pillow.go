// Package pillow turns and resizes pictures of 8 bits a channel as Pillow does, to the bit: it is what
// the image preprocessors of published models were used with, and a resampling that differs shifts
// what an image encoder says.
//
// Resize is two convolutions, along rows and then along columns, each rounded to 8 bits. Unlike an
// interpolation, it widens the filter where a picture shrinks, so that every pixel has its say.
package pillow

import (
	"image"
	"image/color"
	"math"

	"github.com/lanewise/lanewise/internal/portable"
)

// Picture is an opaque picture: pixel (x, y) is red, green and blue at Pix[3·(y·W+x)].
type Picture struct {
	W, H int
	Pix  []uint8
}

// New makes a black picture.
func New(w, h int) *Picture { return &Picture{w, h, make([]uint8, 3*w*h)} }

// Of copies an image. Of a translucent one it takes the colors and leaves the alpha, as
// Image.convert("RGB") does.
func Of(img image.Image) *Picture {
	b := img.Bounds()
	p := New(b.Dx(), b.Dy())
	at := p.Pix
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			at[0], at[1], at[2] = c.R, c.G, c.B
			at = at[3:]
		}
	}
	return p
}

// Filter is a way to weigh pixels. Its values are the numbers of PIL.Image.Resampling, which
// preprocessor_config.json holds.
type Filter uint8

const (
	Nearest  Filter = iota // the pixel under the middle, alone
	Lanczos                // sinc(x)·sinc(x/3) for |x| < 3
	Bilinear               // a triangle
	Bicubic                // the cubic convolution of Keys (1981) with a = −½
	Box                    // the mean of what a pixel covers
	Hamming                // sinc under a cosine window, of the width of Bilinear
)

// Filters is how many filters there are.
const Filters = 6

// kernels are the filters but Nearest: the half of their width, and their value at a distance.
// Conversions keep compilers from fusing operations, so that weights are the same everywhere.
var kernels = [Filters]struct {
	support float64
	at      func(x float64) float64
}{
	Lanczos: {3, func(x float64) float64 {
		if x < -3 || x >= 3 {
			return 0
		}
		return float64(sinc(x) * sinc(x/3))
	}},
	Bilinear: {1, func(x float64) float64 { return max(1-math.Abs(x), 0) }},
	Bicubic: {2, func(x float64) float64 {
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return float64(float64(float64(float64((a+2)*x)-(a+3))*x)*x) + 1
		case x < 2:
			return float64((float64((float64((x-5)*x)+8)*x) - 4) * a)
		}
		return 0
	}},
	Box: {0.5, func(x float64) float64 {
		if x > -0.5 && x <= 0.5 {
			return 1
		}
		return 0
	}},
	Hamming: {1, func(x float64) float64 {
		switch x = math.Abs(x); {
		case x == 0:
			return 1
		case x >= 1:
			return 0
		}
		return float64(sinc(x) * (0.54 + float64(0.46*portable.Cos(x*math.Pi))))
	}},
}

// sinc is sin(πx)/πx.
func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return portable.Sin(x) / x
}

// Resize returns the picture at w × h pixels, both at least 1.
func (p *Picture) Resize(w, h int, f Filter) *Picture {
	if f == Nearest {
		return p.nearest(w, h)
	}
	if w != p.W {
		p = p.convolve(w, p.H, weigh(p.W, w, f), 3, 3*p.W, func(x, y int) (place, line int) { return x, y })
	}
	if h != p.H {
		p = p.convolve(p.W, h, weigh(p.H, h, f), 3*p.W, 3, func(x, y int) (place, line int) { return y, x })
	}
	return p
}

// nearest takes the pixel under the middle of each new one.
func (p *Picture) nearest(w, h int) *Picture {
	dst := New(w, h)
	columns, rows := middles(p.W, w), middles(p.H, h)
	for y, sy := range rows {
		for x, sx := range columns {
			copy(dst.Pix[3*(y*w+x):][:3], p.Pix[3*(sy*p.W+sx):])
		}
	}
	return dst
}

// middles returns where in a line of size pixels the middles of n are. Pillow adds steps up, and so
// rounds as it goes.
func middles(size, n int) []int {
	at := make([]int, n)
	step := float64(size) / float64(n)
	x := step * 0.5
	for i := range at {
		at[i] = min(int(x), size-1)
		x += step
	}
	return at
}

// taps are what a new pixel is made of: pixels from first on, with weights in units of 2^−precision.
type taps struct {
	first   int
	weights []int32
}

// precision leaves room for a sum of weights beyond 1 and a sign, beside 8 bits, in 32.
const precision = 32 - 8 - 2

// weigh returns the taps of each of n pixels that a line of size pixels becomes. Their weights add
// up to 1 before they are rounded.
func weigh(size, n int, f Filter) []taps {
	var (
		kernel  = kernels[f]
		scale   = float64(size) / float64(n)
		widen   = max(scale, 1)
		support = float64(kernel.support * widen)
		all     = make([]taps, n)
		exact   []float64
	)
	for i := range all {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		end := min(int(center+support+0.5), size)
		exact = exact[:0]
		sum := 0.0
		for x := first; x < end; x++ {
			w := kernel.at((float64(x) - center + 0.5) * (1 / widen))
			exact = append(exact, w)
			sum += w
		}
		all[i] = taps{first, make([]int32, len(exact))}
		for j, w := range exact {
			if sum != 0 {
				w /= sum
			}
			all[i].weights[j] = int32(w*(1<<precision) + math.Copysign(0.5, w))
		}
	}
	return all
}

// convolve makes a picture of w × h whose pixels are sums along lines of p: pixel (x, y) has the
// place and the line that of says; its taps lie step bytes apart, and lines pitch bytes.
func (p *Picture) convolve(w, h int, all []taps, step, pitch int, of func(x, y int) (place, line int)) *Picture {
	dst := New(w, h)
	at := dst.Pix
	for y := range h {
		for x := range w {
			place, line := of(x, y)
			t := all[place]
			from := line*pitch + t.first*step
			const half = 1 << (precision - 1)
			r, g, b := int32(half), int32(half), int32(half)
			for _, k := range t.weights {
				pixel := p.Pix[from:][:3]
				r += int32(pixel[0]) * k
				g += int32(pixel[1]) * k
				b += int32(pixel[2]) * k
				from += step
			}
			at[0], at[1], at[2] = clip(r), clip(g), clip(b)
			at = at[3:]
		}
	}
	return dst
}

// clip rounds a sum to 8 bits.
func clip(sum int32) uint8 { return uint8(min(max(sum>>precision, 0), 255)) }
