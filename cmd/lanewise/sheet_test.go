package main

import (
	"image"
	"image/color"
	"slices"
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
	sheet := arrange(pictures, nil, 2, scale, gap)
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

// A caption lies in lines below its picture, in the middle, and nowhere else.
func TestArrangeCaptions(t *testing.T) {
	const scale, gap = 16, 4
	p := image.NewRGBA(image.Rect(0, 0, 4, 4))
	for i := range p.Pix {
		p.Pix[i] = 255
	}
	pictures := []*image.RGBA{p, p, p}
	captions := [][]string{{"H"}, nil, {"HH", "H"}}
	sheet := arrange(pictures, captions, 2, scale, gap)
	const row = 64 + 2*13 + gap
	if got, want := sheet.Bounds(), image.Rect(0, 0, 2*64+gap, 2*row-gap); got != want {
		t.Fatalf("bounds %v, want %v", got, want)
	}
	for _, c := range []struct {
		name string
		area image.Rectangle
		ink  bool
	}{
		{"picture", image.Rect(0, 0, 132, 64), false},
		{"left of the letter", image.Rect(0, 64, 28, row), false},
		{"the letter", image.Rect(28, 64, 36, 64+13), true},
		{"right of the letter", image.Rect(36, 64, 132, row), false},
		{"second line", image.Rect(0, 64+13, 132, row), false},
		{"second row, pictures", image.Rect(0, row, 132, row+64), false},
		{"two letters", image.Rect(25, row+64, 39, row+64+13), true},
		{"below them", image.Rect(28, row+64+13, 36, row+64+26), true},
		{"no picture", image.Rect(64, row, 132, row+64+26), false},
	} {
		ink := 0
		for y := c.area.Min.Y; y < c.area.Max.Y; y++ {
			for x := c.area.Min.X; x < c.area.Max.X; x++ {
				if sheet.RGBAAt(x, y) != (color.RGBA{255, 255, 255, 255}) {
					ink++
				}
			}
		}
		if (ink > 0) != c.ink {
			t.Errorf("%s: %d pixels are not white", c.name, ink)
		}
	}
}

func TestWrapCaption(t *testing.T) {
	for _, c := range []struct {
		paragraphs []string
		width      int
		want       []string
	}{
		{[]string{"noto"}, 64, []string{"noto"}},
		{[]string{"red apple", "noto"}, 64, []string{"red apple", "noto"}},
		{[]string{"green apple", "no style"}, 64, []string{"green", "apple", "no style"}},
		{[]string{"a bc def ghij"}, 7 * 8, []string{"a bc def", "ghij"}},
		{[]string{"extraordinary"}, 64, []string{"extraord~"}},
		{[]string{"ÄÖÜäöüßéè x"}, 64, []string{"ÄÖÜäöüßéè", "x"}},
		{[]string{"", "noto"}, 64, []string{"", "noto"}},
		{[]string{"one two", "three four", "five six seven"}, 7 * 5, []string{"one", "two", "three", "four"}},
		{nil, 64, nil},
	} {
		if got := wrapCaption(c.paragraphs, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d pixels: %q, want %q", c.paragraphs, c.width, got, c.want)
		}
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
