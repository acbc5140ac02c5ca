package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A panel is one chart: lines over x and y, which leave the lower left free for their names.
type panel struct {
	title, x, y string // what it shows, what the axes measure
	xAxis       axis
	yAxis       axis
	lines       []line
	rule        rule
}

// An axis runs from low to high, and has ticks at so many values.
type axis struct {
	low, high float64
	log       bool
	ticks     []float64
}

// A line goes through points, each with a marker unless it is plain. What is outside of the axes is not
// drawn.
type line struct {
	name   string
	points plotter.XYs
	plain  bool
	look   int // which colour, dashes and marker it has
}

// A rule is a thin horizontal line with something to say; without a text there is none.
type rule struct {
	y    float64
	text string
}

// palette are the colours of Okabe and Ito but for yellow, which does not show on white: people who do
// not tell red from green tell these apart.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, // blue
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, // green
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // purple
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, // orange
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	color.RGBA{0x00, 0x00, 0x00, 0xff},
	color.RGBA{0x80, 0x80, 0x80, 0xff},
}

// dashes are taken in turn with the colours.
var dashes = [][]vg.Length{nil, {5, 2}, {1.5, 1.5}, {6, 2, 1.5, 2}}

var (
	ink  = color.RGBA{0x33, 0x33, 0x33, 0xff}
	grid = color.RGBA{0xe6, 0xe6, 0xe6, 0xff}
)

// A marker is a regular polygon of so many corners, the first at an angle, or a circle without
// corners; white inside if it is open.
type marker struct {
	corners int
	angle   float64
	open    bool
}

// markers are taken in turn.
var markers = []marker{
	{}, {4, math.Pi / 4, false}, {3, math.Pi / 2, false}, {4, 0, false},
	{open: true}, {4, math.Pi / 4, true}, {3, math.Pi / 2, true}, {4, 0, true},
	{3, -math.Pi / 2, false}, {3, -math.Pi / 2, true}, {6, 0, false},
}

// DrawGlyph implements draw.GlyphDrawer.
func (m marker) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	var outline vg.Path
	if m.corners == 0 {
		outline.Move(vg.Point{X: at.X + style.Radius, Y: at.Y})
		outline.Arc(at, style.Radius, 0, 2*math.Pi)
	}
	for i := range m.corners {
		sin, cos := math.Sincos(m.angle + 2*math.Pi*float64(i)/float64(m.corners))
		radius := 1.15 * style.Radius // as large as a circle to the eye
		p := vg.Point{X: at.X + radius*vg.Length(cos), Y: at.Y + radius*vg.Length(sin)}
		if i == 0 {
			outline.Move(p)
		} else {
			outline.Line(p)
		}
	}
	outline.Close()
	c.SetColor(style.Color)
	if m.open {
		c.SetColor(color.White)
	}
	c.Fill(outline)
	c.SetLineStyle(draw.LineStyle{Color: style.Color, Width: 0.9})
	c.Stroke(outline)
}

// The size of a panel, in points: two of them are as wide as a page of GitHub.
const width, height vg.Length = 372, 330

// drawing returns panels, two in a row, as an SVG file.
func drawing(title string, panels ...panel) ([]byte, error) {
	const columns = 2
	rows := vg.Length((len(panels) + columns - 1) / columns)
	canvas := vgsvg.New(width*columns, height*rows)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	for i, p := range panels {
		left, top := width*vg.Length(i%columns), height*(rows-vg.Length(i/columns))
		p.draw(draw.Canvas{Canvas: canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: left + 6, Y: top - height + 6},
			Max: vg.Point{X: left + width - 8, Y: top - 8},
		}})
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	return []byte(portable(out.String(), title)), nil
}

// portable returns an SVG file with a title for readers that do not see it, and fonts of the same
// measures in place of one that few machines have.
func portable(svg, title string) string {
	svg = strings.ReplaceAll(svg, "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	end := strings.Index(svg, ">\n<g")
	return svg[:end] + " role=\"img\">\n<title>" + title + "</title>" + svg[end+1:]
}

// draw draws a panel with the labels of its axes, which gonum would make room for at the wrong place where
// an axis is logarithmic.
func (p panel) draw(c draw.Canvas) {
	var label text.Style
	letter(&label, 10)
	label.XAlign, label.Handler = text.XCenter, plot.DefaultTextHandler
	height := label.Height(p.y)
	inside := draw.Crop(c, height+4, 0, height+4, 0)
	chart := p.chart()
	chart.Draw(inside)
	axes := chart.DataCanvas(inside)
	c.FillText(label, vg.Point{X: axes.Center().X, Y: c.Min.Y}, p.x)
	label.Rotation = math.Pi / 2
	c.FillText(label, vg.Point{X: c.Min.X + height, Y: axes.Center().Y}, p.y)
}

// chart returns a panel as gonum's plot.
func (p panel) chart() *plot.Plot {
	c := plot.New()
	c.BackgroundColor = color.White
	c.Title.Text, c.Title.Padding = p.title, 6
	letter(&c.Title.TextStyle, 11)
	p.xAxis.set(&c.X)
	p.yAxis.set(&c.Y)
	c.Y.Tick.Label.XAlign = text.XRight
	lines := plotter.NewGrid()
	lines.Horizontal.Color, lines.Vertical.Color = grid, grid
	lines.Horizontal.Width, lines.Vertical.Width = 0.5, 0.5
	c.Add(lines)
	if p.rule.text != "" {
		c.Add(p.rule)
	}
	c.Legend.Left, c.Legend.XOffs, c.Legend.YOffs = true, 6, 6
	c.Legend.ThumbnailWidth, c.Legend.Padding = 26, 2.5
	letter(&c.Legend.TextStyle, 9)
	for _, l := range p.lines {
		c.Add(l.inked())
		c.Legend.Add(l.name, l.inked())
	}
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = p.xAxis.low, p.xAxis.high, p.yAxis.low, p.yAxis.high
	return c
}

// letter sets a text's font and colour.
func letter(t *text.Style, size vg.Length) {
	t.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	t.Color = ink
}

// set prepares an axis of a plot.
func (a axis) set(to *plot.Axis) {
	to.Tick.Label.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 9}
	to.Tick.Label.Color = ink
	to.LineStyle = draw.LineStyle{Color: ink, Width: 0.6}
	to.Tick.LineStyle, to.Tick.Length = to.LineStyle, 3
	to.Padding = 0
	if a.log {
		to.Scale = plot.LogScale{}
	}
	ticks := make(plot.ConstantTicks, len(a.ticks))
	for i, v := range a.ticks {
		ticks[i] = plot.Tick{Value: v, Label: strings.ReplaceAll(fmt.Sprintf("%g", v), "-", "−")}
	}
	to.Tick.Marker = ticks
}

// An inked line is a line as it is drawn: it implements plot.Plotter and plot.Thumbnailer. Unlike
// plotter.LinePoints it asks for no room around the axes.
type inked struct {
	line
	stroke draw.LineStyle
	glyph  draw.GlyphStyle
}

func (l line) inked() inked {
	i := l.look
	hue := palette[i%len(palette)]
	drawn := inked{line: l, stroke: draw.LineStyle{Color: hue, Width: 1.1, Dashes: dashes[i%len(dashes)]}}
	if !l.plain {
		drawn.glyph = draw.GlyphStyle{Color: hue, Radius: 2.3, Shape: markers[i%len(markers)]}
	}
	return drawn
}

// Plot implements plot.Plotter.
func (l inked) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	at := make([]vg.Point, len(l.points))
	for i, point := range l.points {
		at[i] = vg.Point{X: toX(point.X), Y: toY(point.Y)}
	}
	c.StrokeLines(l.stroke, c.ClipLinesXY(at)...)
	for _, point := range at {
		c.DrawGlyph(l.glyph, point)
	}
}

// Thumbnail implements plot.Thumbnailer.
func (l inked) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	c.StrokeLine2(l.stroke, c.Min.X, y, c.Max.X, y)
	c.DrawGlyphNoClip(l.glyph, c.Center())
}

// Plot implements plot.Plotter.
func (r rule) Plot(c draw.Canvas, p *plot.Plot) {
	_, toY := p.Transforms(&c)
	y := toY(r.y)
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: 0.6, Dashes: []vg.Length{1, 2}}, c.Min.X, y, c.Max.X, y)
	words := p.Legend.TextStyle
	words.Font.Size, words.XAlign = 8, text.XRight
	c.FillText(words, vg.Point{X: c.Max.X - 14, Y: y + 2}, r.text)
}
