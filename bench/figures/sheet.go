package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math"
	"slices"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The sheet has a row for each sampler, and for each prompt a column for each number of calls.
var (
	sheetPrompts = []string{"panda", "rocket"}
	sheetCalls   = []int{4, 8, 16, 32}
)

// Measures of the sheet, in its pixels.
const (
	enlarged  = 2  // pixels of the sheet for one of a picture
	shades    = 32 // of red, green and blue, so that the frequent colours are most of all
	gap       = 4
	names     = 116 // width of the column of names
	numbers   = 24  // height of the row of numbers
	fontSize  = 14
	sheetSeed = 1
)

// sheetRows returns what the sheet shows: the samplers but for those of distilled models, as the model's file
// has them. PNDM alone is begun without Runge-Kutta, whose nine further calls leave no steps.
func sheetRows() []curve {
	var rows []curve
	for _, name := range sampler.Names() {
		row := curve{name: name, sampler: name}
		switch name {
		case "lcm", "tcd":
			continue
		case "pndm":
			row.options = map[string]any{"skip_prk_steps": true}
		}
		rows = append(rows, row)
	}
	return rows
}

// within returns how many steps of a sampler take at most so many calls of the model.
func (c curve) within(calls int) int {
	switch c.sampler {
	case "heun":
		return (calls + 1) / 2
	case "pndm":
		return calls - 1
	}
	return calls
}

// sheet returns the sheet of a painter of its prompts, as a PNG file.
func (p *painter) sheet() ([]byte, error) {
	rows := sheetRows()
	cell := enlarged*p.size + gap
	block := len(sheetCalls)*cell + gap // of a prompt
	s := image.NewRGBA(image.Rect(0, 0, names+len(p.prompts)*block, numbers+len(rows)*cell))
	draw.Draw(s, s.Bounds(), image.White, image.Point{}, draw.Src)
	face, err := newFace()
	if err != nil {
		return nil, err
	}
	for k, calls := range sheetCalls {
		for i := range p.prompts {
			left := names + i*block + k*cell
			write(s, face, fmt.Sprint(calls), left+cell/2, numbers-8, true)
		}
	}
	for r, row := range rows {
		top := numbers + r*cell
		write(s, face, row.name, gap, top+cell/2+fontSize/4, false)
		for k, calls := range sheetCalls {
			x, _, err := p.run(row, row.within(calls))
			if err != nil {
				return nil, fmt.Errorf("%s, %d calls: %w", row.name, calls, err)
			}
			for i := range p.prompts {
				enlarge(s, image.Pt(names+i*block+k*cell, top), x.Images(i, i+1))
			}
		}
	}
	few := image.NewPaletted(s.Bounds(), frequent(s, 256))
	draw.Draw(few, s.Bounds(), s, image.Point{}, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&out, few)
	return out.Bytes(), err
}

// frequent returns the n most frequent colours of a picture, with which its file is a third as large.
func frequent(s *image.RGBA, n int) color.Palette {
	counts := make(map[color.RGBA]int)
	for y := range s.Rect.Dy() {
		for x := range s.Rect.Dx() {
			counts[s.RGBAAt(x, y)]++
		}
	}
	value := func(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
	colors := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], value(a)-value(b))
	})
	var palette color.Palette
	for _, c := range colors[:min(n, len(colors))] {
		palette = append(palette, c)
	}
	return palette
}

// enlarge draws an image with values from -1 to 1.
func enlarge(s *image.RGBA, at image.Point, x tensor.NHWC) {
	for row := range x.H {
		for column := range x.W {
			value := func(c int) uint8 {
				v := min(max(float64(x.Pixel(0, row, column)[c]), -1), 1)
				return uint8(math.RoundToEven((v+1)/2*(shades-1)) * 255 / (shades - 1))
			}
			pixel := image.Rect(column, row, column+1, row+1)
			pixel = image.Rectangle{pixel.Min.Mul(enlarged), pixel.Max.Mul(enlarged)}.Add(at)
			hue := color.RGBA{value(0), value(1), value(2), 0xff}
			draw.Draw(s, pixel, image.NewUniform(hue), image.Point{}, draw.Src)
		}
	}
}

// newFace returns the letters of the sheet.
func newFace() (font.Face, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: fontSize, DPI: 72, Hinting: font.HintingFull})
}

// write writes words on a line at y, from x on or centred there.
func write(s *image.RGBA, face font.Face, words string, x, y int, centred bool) {
	d := font.Drawer{Dst: s, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(x, y)}
	if centred {
		d.Dot.X -= d.MeasureString(words) / 2
	}
	d.DrawString(words)
}
