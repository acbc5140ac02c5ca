package ref

import "math"

// Nearest resizes images in NHWC, contiguous, to oh × ow: output pixel y reads row
// floor(y·h/oh), and so for columns.
func Nearest(n, h, w, c, oh, ow int, src []float64) []float64 {
	dst := make([]float64, 0, n*oh*ow*c)
	for i := range n {
		for y := range oh {
			for x := range ow {
				p := (i*h+y*h/oh)*w + x*w/ow
				dst = append(dst, src[p*c:(p+1)*c]...)
			}
		}
	}
	return dst
}

// AveragePool averages windows of k × k pixels that do not overlap. Windows that leave the image
// at its lower and right end, which are counted where oh or ow includes them, average the pixels
// inside.
func AveragePool(n, h, w, c, k, oh, ow int, src []float64) []float64 {
	dst := make([]float64, n*oh*ow*c)
	for i := range n {
		for y := range oh {
			for x := range ow {
				for ch := range c {
					sum, count := 0.0, 0
					for sy := y * k; sy < min(y*k+k, h); sy++ {
						for sx := x * k; sx < min(x*k+k, w); sx++ {
							sum += src[((i*h+sy)*w+sx)*c+ch]
							count++
						}
					}
					dst[((i*oh+y)*ow+x)*c+ch] = sum / float64(count)
				}
			}
		}
	}
	return dst
}

// PixelUnshuffle moves blocks of k × k pixels into channels: channel (ch·k+dy)·k+dx of output
// pixel (y, x) is channel ch of input pixel (y·k+dy, x·k+dx).
func PixelUnshuffle(n, h, w, c, k int, src []float64) []float64 {
	oh, ow := h/k, w/k
	dst := make([]float64, n*oh*ow*c*k*k)
	for i := range n {
		for y := range h {
			for x := range w {
				for ch := range c {
					to := ((i*oh+y/k)*ow+x/k)*c*k*k + (ch*k+y%k)*k + x%k
					dst[to] = src[((i*h+y)*w+x)*c+ch]
				}
			}
		}
	}
	return dst
}

// Interpolate is PyTorch's interpolate with align_corners=False: pixels as a kernel weighs them by
// their distance, which is at most 2, those at the edge standing for those beyond.
func Interpolate(n, h, w, c, oh, ow int, src []float64, kernel func(distance float64) float64) []float64 {
	dst := make([]float64, n*oh*ow*c)
	for i := range dst {
		ch, x, y, image := i%c, i/c%ow, i/c/ow%oh, i/c/ow/oh
		py, px := (float64(y)+0.5)*float64(h)/float64(oh)-0.5, (float64(x)+0.5)*float64(w)/float64(ow)-0.5
		for sy := -3; sy < h+3; sy++ {
			for sx := -3; sx < w+3; sx++ {
				weight := kernel(math.Abs(py-float64(sy))) * kernel(math.Abs(px-float64(sx)))
				dst[i] += weight * src[((image*h+min(max(sy, 0), h-1))*w+min(max(sx, 0), w-1))*c+ch]
			}
		}
	}
	return dst
}

// Triangle is the kernel of bilinear interpolation, Cubic that of PyTorch's bicubic.
func Triangle(d float64) float64 { return max(1-d, 0) }

func Cubic(d float64) float64 {
	const a = -0.75
	switch {
	case d < 1:
		return (a+2)*d*d*d - (a+3)*d*d + 1
	case d < 2:
		return a*d*d*d - 5*a*d*d + 8*a*d - 4*a
	}
	return 0
}
