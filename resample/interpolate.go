package resample

import (
	"math"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// Bilinear resizes src to dst's size as PyTorch's interpolate does (mode="bilinear",
// align_corners=False): pixel x of W lies at p = (x+½)·w/W − ½ in src, between pixels ⌊p⌋ and ⌊p⌋+1,
// which weigh 1−t and t = p−⌊p⌋; and so for rows. Beyond the edge lie the pixels at the edge. It panics
// where Nearest does. dst does not overlap src.
func Bilinear(e *engine.Engine, dst, src tensor.NHWC) { interpolate(e, "bilinear", dst, src, 2) }

// Bicubic is Bilinear over four pixels each way, from ⌊p⌋−1 to ⌊p⌋+2, weighed by the cubic convolution
// kernel with a = −¾ (Keys 1981, "Cubic convolution interpolation for digital image processing").
func Bicubic(e *engine.Engine, dst, src tensor.NHWC) { interpolate(e, "bicubic", dst, src, 4) }

// interpolate resizes by k × k pixels for each.
func interpolate(e *engine.Engine, what string, dst, src tensor.NHWC, k int) {
	check(what, dst, src, dst.C == src.C && (src.H*src.W > 0 || dst.H*dst.W == 0))
	run(e, dst, src, k, interpolated)
}

// taps are what is interpolated along a line: so many pixels of it and their weights.
type taps struct {
	n      int
	at     [4]int
	weight [4]float32
}

// tapsOf returns the n taps of a pixel of a line of size to that was one of size from.
func tapsOf(pixel, from, to, n int) taps {
	p := float32(float32(from)/float32(to)*(float32(pixel)+0.5)) - 0.5
	base := float32(math.Floor(float64(p)))
	t := p - base
	k := taps{n: n, weight: [4]float32{1 - t, t}}
	if n == 4 {
		k.weight = [4]float32{cubicFar(t + 1), cubicNear(t), cubicNear(1 - t), cubicFar(2 - t)}
	}
	for i := range n {
		k.at[i] = min(max(int(base)+i-n/2+1, 0), from-1)
	}
	return k
}

// cubic is the a of the kernel.
const cubic = -0.75

// cubicNear is the kernel up to a distance of 1, cubicFar from there up to 2. Conversions keep
// compilers from fusing operations.
func cubicNear(d float32) float32 {
	return float32(float32(float32(float32((cubic+2)*d)-(cubic+3))*d)*d) + 1
}

func cubicFar(d float32) float32 {
	return float32(float32(float32(float32(float32(cubic*d)-5*cubic)*d)+8*cubic)*d) - 4*cubic
}

func interpolated(j *job, n, y int) {
	rows := tapsOf(y, j.src.H, j.dst.H, j.k)
	for x := range j.dst.W {
		columns := tapsOf(x, j.src.W, j.dst.W, j.k)
		dst := j.dst.Pixel(n, y, x)
		clear(dst)
		for r := range rows.n {
			for c := range columns.n {
				weight := rows.weight[r] * columns.weight[c]
				for i, v := range j.src.Pixel(n, rows.at[r], columns.at[c]) {
					dst[i] += float32(weight * v)
				}
			}
		}
	}
}
