package pipeline

import (
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/tensor"
)

// numbered is a picture whose pixels all differ, somewhere in the plane.
func numbered(w, h int) *image.RGBA {
	p := image.NewRGBA(image.Rect(-3, 5, w-3, h+5))
	for y := range h {
		for x := range w {
			i := y*w + x
			p.SetRGBA(x-3, y+5, color.RGBA{uint8(7 * i), uint8(i), uint8(255 - 3*i), 255})
		}
	}
	return p
}

func fit(t *testing.T, p image.Image, size int) *image.RGBA {
	t.Helper()
	fitted, err := Fit(p, size)
	if err != nil {
		t.Fatal(err)
	}
	return fitted
}

func TestFitErrors(t *testing.T) {
	for _, p := range []image.Image{image.NewRGBA(image.Rectangle{}), image.NewUniform(color.Black)} {
		if _, err := Fit(p, 8); err == nil || !strings.Contains(err.Error(), "pixels, want at least 1 and at most 67108864") {
			t.Errorf("%v", err)
		}
	}
}

func TestFit(t *testing.T) {
	// A picture of the size stays; one enlarged comes back; one that is small is enlarged.
	for _, c := range []struct{ from, size, scale int }{{8, 8, 1}, {40, 8, 5}, {8, 24, 3}} {
		n := min(c.from, c.size)
		small := numbered(n, n)
		given := image.NewNRGBA(image.Rect(2, 1, 2+c.from, 1+c.from))
		for y := range c.from {
			for x := range c.from {
				given.Set(2+x, 1+y, small.At(x*n/c.from-3, y*n/c.from+5))
			}
		}
		got := fit(t, given, c.size)
		if got.Bounds() != image.Rect(0, 0, c.size, c.size) {
			t.Fatalf("bounds %v", got.Bounds())
		}
		for y := range c.size {
			for x := range c.size {
				if got, want := got.RGBAAt(x, y), small.RGBAAt(x*n/c.size-3, y*n/c.size+5); got != want {
					t.Fatalf("%d to %d pixels: %d, %d is %v, want %v", c.from, c.size, x, y, got, want)
				}
			}
		}
	}
}

// A picture that is not square keeps its shape, in the middle on white; no side vanishes.
func TestFitShape(t *testing.T) {
	for _, c := range []struct {
		w, h  int
		wants image.Rectangle // what is covered
	}{
		{16, 8, image.Rect(0, 2, 8, 6)},
		{8, 16, image.Rect(2, 0, 6, 8)},
		{300, 1, image.Rect(0, 3, 8, 4)},
		{1, 300, image.Rect(3, 0, 4, 8)},
		{1, 1, image.Rect(0, 0, 8, 8)},
	} {
		p := image.NewRGBA(image.Rect(0, 0, c.w, c.h))
		for i := range p.Pix {
			p.Pix[i] = []uint8{10, 20, 30, 255}[i%4]
		}
		got := fit(t, p, 8)
		for y := range 8 {
			for x := range 8 {
				want := color.RGBA{255, 255, 255, 255}
				if image.Pt(x, y).In(c.wants) {
					want = color.RGBA{10, 20, 30, 255}
				}
				if got := got.RGBAAt(x, y); got != want {
					t.Fatalf("%d×%d: pixel %d, %d is %v, want %v", c.w, c.h, x, y, got, want)
				}
			}
		}
	}
}

// What is translucent lies on white.
func TestFitTranslucent(t *testing.T) {
	p := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	p.Set(0, 0, color.NRGBA{0, 0, 0, 0})
	p.Set(1, 0, color.NRGBA{255, 0, 0, 51})
	p.Set(0, 1, color.NRGBA{10, 20, 30, 255})
	got := fit(t, p, 2)
	want := []uint8{255, 255, 255, 255, 255, 204, 204, 255, 10, 20, 30, 255, 255, 255, 255, 255}
	if !slices.Equal(got.Pix, want) {
		t.Errorf("%v, want %v", got.Pix, want)
	}
}

// A picture's values are those that make the picture.
func TestValues(t *testing.T) {
	p := fit(t, numbered(8, 8), 8)
	x := tensor.Make(1, 8, 8, channels)
	values(x, p)
	if !slices.Equal(picture(x).Pix, p.Pix) {
		t.Error("another picture")
	}
	p.SetRGBA(0, 0, color.RGBA{0, 255, 51, 255})
	values(x, p)
	if got, want := x.Pixel(0, 0, 0), []float32{-1, 1, -0.6}; got[0] != want[0] || got[1] != want[1] || got[2] < want[2]-1e-6 || got[2] > want[2]+1e-6 {
		t.Errorf("%v, want %v", got, want)
	}
}
