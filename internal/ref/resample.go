package ref

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
