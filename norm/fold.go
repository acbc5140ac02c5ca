package norm

// A fold is what is done to values after their mean has been taken away: ·rstd·gamma + beta, then
// ·(1 + gain) + offset. Those that are nil are left out. rest is what the mean in float32 lacks.
type fold struct {
	rstd, rest                float64
	gamma, beta, gain, offset []float32
}

// write makes one scale and one shift of each channel of it all. A thousand channels are as much work as
// ten thousand pixels' values in the kernels, so that the loop has no calls and no checks of bounds.
func (f *fold) write(scales, shifts []float32) {
	shifts = shifts[:len(scales)]
	for i := range scales {
		gamma, beta := 1.0, 0.0
		if i < len(f.gamma) {
			gamma = float64(f.gamma[i])
		}
		if i < len(f.beta) {
			beta = float64(f.beta[i])
		}
		if i < len(f.gain) && i < len(f.offset) {
			gain := 1 + float64(f.gain[i])
			gamma *= gain
			beta = float64(beta*gain) + float64(f.offset[i])
		}
		scale := gamma * f.rstd
		scales[i], shifts[i] = float32(scale), float32(beta-float64(f.rest*scale))
	}
}
