package main

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
)

// arrange puts pictures of equal size in rows of columns, from the upper left, each pixel
// enlarged to scale × scale equal ones, and each one's caption below it, unless captions is nil.
// Pictures are gap pixels apart, and what no picture covers is white.
func arrange(pictures []*image.RGBA, captions [][]string, columns, scale, gap int) *image.RGBA {
	size := pictures[0].Bounds().Size().Mul(scale)
	lines := 0
	for _, c := range captions {
		lines = max(lines, len(c))
	}
	pitch := image.Pt(size.X+gap, size.Y+gap+lines*captionFont.Height)
	rows := (len(pictures) + columns - 1) / columns
	sheet := image.NewRGBA(image.Rect(0, 0, columns*pitch.X-gap, rows*pitch.Y-gap))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	for i, p := range pictures {
		at := image.Pt(i%columns*pitch.X, i/columns*pitch.Y)
		xdraw.NearestNeighbor.Scale(sheet, image.Rectangle{at, at.Add(size)}, p, p.Bounds(), xdraw.Src, nil)
		if captions != nil {
			drawCaption(sheet, at.Add(image.Pt(0, size.Y)), size.X, captions[i])
		}
	}
	return sheet
}

// columns returns how many pictures to put beside each other: those that differ in style alone where
// there are several, else the pictures of each of several prompts, else so many that the sheet is
// about square.
func columns(prompts, styles, n int) int {
	switch {
	case styles > 1:
		return styles
	case prompts > 1 && n > 1:
		return n
	default:
		return int(math.Ceil(math.Sqrt(float64(prompts * n))))
	}
}
