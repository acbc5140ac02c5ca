package tensor

// MomentPixels is how many pixels are summed in float32 before float64 takes over: a block's sums are
// off by at most 256 ulp of their terms, and that takeover costs as much as summing six pixels.
const MomentPixels = 256

// Moments are the sums that the mean and the variance of images are made of: for every block of
// MomentPixels pixels of an image (the last one shorter) and every channel,
//
//	ref    = x of the block's first pixel
//	sum    = Σ (x − ref)
//	square = Σ (x − ref)²
//
// over the block's pixels in rising order, each sum one chain of float32 operations, the squares fused
// multiply-adds. Being about a value of the channel itself, they do not cancel where the mean is
// large beside the spread.
type Moments struct {
	Images, Pixels, Channels int
	Data                     []float32 // Images × Blocks() × (ref, sum, square) × Channels
}

// MakeMoments allocates the moments of images.
func MakeMoments(images, pixels, channels int) *Moments {
	m := &Moments{Images: images, Pixels: pixels, Channels: channels}
	m.Data = make([]float32, images*m.Blocks()*3*channels)
	return m
}

// Blocks is how many blocks of pixels an image has.
func (m *Moments) Blocks() int { return (m.Pixels + MomentPixels - 1) / MomentPixels }

// Block returns the moments of one block of an image, a value for every channel.
func (m *Moments) Block(image, block int) (ref, sum, square []float32) {
	c := m.Channels
	b := m.Data[(image*m.Blocks()+block)*3*c:][: 3*c : 3*c]
	return b[:c:c], b[c : 2*c : 2*c], b[2*c:]
}
