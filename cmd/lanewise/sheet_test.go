package main

import (
	"image"
	"image/color"
	"testing"
)

func TestArrange(t *testing.T) {
	const scale, gap = 3, 2
	var pictures []*image.RGBA
	for i := range 5 {
		p := image.NewRGBA(image.Rect(0, 0, 4, 2))
		for j := range p.Pix {
			p.Pix[j] = byte(50*i + j) // every pixel of every picture its own
		}
		for j := 3; j < len(p.Pix); j += 4 {
			p.Pix[j] = 255
		}
		pictures = append(pictures, p)
	}
	sheet := arrange(pictures, 2, scale, gap)
	if got, want := sheet.Bounds(), image.Rect(0, 0, 2*4*scale+gap, 3*2*scale+2*gap); got != want {
		t.Fatalf("bounds %v, want %v", got, want)
	}
	covered := 0
	for y := range sheet.Bounds().Dy() {
		for x := range sheet.Bounds().Dx() {
			column, row := x/(4*scale+gap), y/(2*scale+gap)
			px, py := x%(4*scale+gap)/scale, y%(2*scale+gap)/scale
			want := color.RGBA{255, 255, 255, 255}
			if i := row*2 + column; i < 5 && px < 4 && py < 2 {
				want = pictures[i].RGBAAt(px, py)
				covered++
			}
			if got := sheet.RGBAAt(x, y); got != want {
				t.Fatalf("pixel %d, %d: %v, want %v", x, y, got, want)
			}
		}
	}
	if want := 5 * 4 * 2 * scale * scale; covered != want {
		t.Errorf("pictures cover %d pixels, want %d", covered, want)
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct{ prompts, styles, n, want int }{
		{1, 1, 1, 1}, {1, 1, 2, 2}, {1, 1, 4, 2}, {1, 1, 5, 3}, {1, 1, 9, 3}, {1, 1, 10, 4},
		{1, 5, 1, 5}, {1, 5, 3, 5}, {4, 5, 2, 5}, {3, 1, 4, 4}, {4, 1, 1, 2}, {5, 1, 1, 3},
	} {
		if got := columns(c.prompts, c.styles, c.n); got != c.want {
			t.Errorf("%d prompts, %d styles, %d each: %d columns, want %d", c.prompts, c.styles, c.n, got, c.want)
		}
	}
}
