package pipeline

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"github.com/lanewise/lanewise/internal/pillow"
	"github.com/lanewise/lanewise/tensor"
)

// picture returns the first image of x with values from -1 to 1 as 0 to 255, rounded to the
// nearest, halves to even.
func picture(x tensor.NHWC) *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, x.W, x.H))
	for y := range x.H {
		for col := range x.W {
			to := p.Pix[p.PixOffset(col, y):]
			for c, v := range x.Pixel(0, y, col) {
				v = (min(max(v, -1), 1) + 1) * 127.5
				to[c] = uint8(math.RoundToEven(float64(v)))
			}
			to[3] = 0xff
		}
	}
	return p
}

// values fills x with a picture of its size: 0 to 255 become -1 to 1.
func values(x tensor.NHWC, p *image.RGBA) {
	for y := range x.H {
		for col := range x.W {
			from := p.Pix[p.PixOffset(col, y):]
			for c := range x.Pixel(0, y, col) {
				x.Pixel(0, y, col)[c] = float32(from[c])/127.5 - 1
			}
		}
	}
}

// Fit returns a picture as the model is given it to begin with: size × size pixels, all of it in the
// middle, what it does not cover and what is translucent in it on white. Each pixel is the mean of
// the area that it covers, so that a picture that was enlarged by a whole number comes back as it was.
// An error says that the picture is empty, or has more than 2²⁶ pixels.
func Fit(p image.Image, size int) (*image.RGBA, error) {
	const most = 1 << 26
	b := p.Bounds()
	if b.Empty() || b.Dx() > most/b.Dy() {
		return nil, fmt.Errorf("pipeline: a picture of %d×%d pixels, want at least 1 and at most %d", b.Dx(), b.Dy(), most)
	}
	opaque := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(opaque, opaque.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(opaque, opaque.Bounds(), p, b.Min, draw.Over)
	side := float64(size) / float64(max(b.Dx(), b.Dy()))
	w, h := length(b.Dx(), side), length(b.Dy(), side)
	small := pillow.Of(opaque).Resize(w, h, pillow.Box)

	fitted := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.Draw(fitted, fitted.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	left, top := (size-w)/2, (size-h)/2
	for y := range h {
		for x := range w {
			to := fitted.Pix[fitted.PixOffset(left+x, top+y):]
			copy(to[:3], small.Pix[3*(y*w+x):])
		}
	}
	return fitted, nil
}

// length returns a side of n pixels times a factor, rounded, and at least 1.
func length(n int, factor float64) int { return max(1, int(math.Round(float64(n)*factor))) }
