package blocks

import (
	"fmt"
	"math"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// PatchEmbed cuts images into square patches and makes a token of each (Dosovitskiy et al. 2021, "An
// Image is Worth 16x16 Words"), to which it adds its place:
//
//	y = proj(patch) + position(row, column)
type PatchEmbed struct {
	Name string
	Size int // rows and columns of a patch

	proj     *Conv
	norm     *LayerNorm // behind proj; nil for none
	width    int        // of a token
	options  PatchEmbedOptions
	trained  tensor.Mat // MaxSize² positions of the checkpoint
	baseSize int
}

// PatchEmbedOptions are what a PatchEmbed is like. Height and Width are the image that positions are
// made for, in pixels; where Interpolation is 0 it means 1.
type PatchEmbedOptions struct {
	Height, Width int
	Size          int // of a patch
	NoBias        bool
	Norm          bool // a layer norm without weights stands behind the projection
	NoPositions   bool
	// Interpolation divides positions, as for images that are larger than those of the first training.
	Interpolation float64
	// MaxSize, where not 0, says that the checkpoint holds the positions of a grid of so many rows and
	// columns, from the middle of which those of an image are taken (Stable Diffusion 3).
	MaxSize int
}

// PatchEmbed loads "proj", and "pos_embed" where there is a MaxSize.
func (l *Loader) PatchEmbed(name string, in, width int, o PatchEmbedOptions) *PatchEmbed {
	if o.Interpolation == 0 {
		o.Interpolation = 1
	}
	p := &PatchEmbed{Name: name, Size: o.Size, width: width, options: o, baseSize: o.Height / o.Size}
	geometry := conv.Geometry{KH: o.Size, KW: o.Size, Stride: o.Size}
	if o.NoBias {
		p.proj = l.Filter(name+".proj", in, width, geometry)
	} else {
		p.proj = l.Conv(name+".proj", in, width, geometry)
	}
	if o.Norm {
		p.norm = l.Norm(name+".norm", width, NormOptions{Eps: 1e-6})
	}
	if o.MaxSize > 0 && !o.NoPositions {
		p.trained = tensor.Mat{Rows: o.MaxSize * o.MaxSize, Cols: width, Stride: width,
			Data: l.Tensor(name+".pos_embed", 1, o.MaxSize*o.MaxSize, width)}
	}
	return p
}

// Grid returns how many rows and columns of patches an image has. Pixels beyond the last whole patch
// are left out.
func (p *PatchEmbed) Grid(height, width int) (rows, columns int) {
	return height / p.Size, width / p.Size
}

// Check returns an error where there are no positions for the patches of an image.
func (p *PatchEmbed) Check(height, width int) error {
	rows, columns := p.Grid(height, width)
	switch o := &p.options; {
	case o.NoPositions:
	case o.MaxSize > 0 && (rows > o.MaxSize || columns > o.MaxSize):
		return fmt.Errorf("%d × %d patches, want at most %d × %d", rows, columns, o.MaxSize, o.MaxSize)
	case o.MaxSize == 0 && p.square(rows, columns) && !isSquare(rows*columns):
		return fmt.Errorf("%d × %d patches, which the model has positions of a square for", rows, columns)
	}
	return nil
}

// square says whether rows × columns patches get the positions of a square of as many: those that
// diffusers makes for the configured size, whatever its sides.
func (p *PatchEmbed) square(rows, columns int) bool {
	r, c := p.Grid(p.options.Height, p.options.Width)
	return rows == r && columns == c
}

// isSquare says whether n is the square of an integer.
func isSquare(n int) bool { return root(n)*root(n) == n }

// root is the largest integer whose square is at most n.
func root(n int) int { return int(math.Sqrt(float64(n))) }

// Positions returns what is added to the patches of an image of rows × columns patches, row by row.
//
// It is that of Vaswani et al. 2017 in two dimensions: with q = width/4, for patch (y, x) and i < q,
//
//	ω[i] = 10000^(−i/q)
//	dst = [sin(x'·ω) | cos(x'·ω) | sin(y'·ω) | cos(y'·ω)]    x' = x/(columns/base)/interpolation
//
// so that an image of any size spans the places of the one that the model was trained with, base × base
// patches.
func (p *PatchEmbed) Positions(rows, columns int) tensor.Mat {
	if n := p.options.MaxSize; n > 0 {
		table := tensor.MakeMat(rows*columns, p.width)
		for y := range rows {
			for x := range columns {
				copy(table.Row(y*columns+x), p.trained.Row((y+(n-rows)/2)*n+x+(n-columns)/2))
			}
		}
		return table
	}
	if p.square(rows, columns) {
		rows = root(rows * columns)
		columns = rows
	}
	place := func(i, n int) float32 { // rounded as numpy rounds it
		return float32(i) / float32(float64(n)/float64(p.baseSize)) / float32(p.options.Interpolation)
	}
	quarter := p.width / 4
	table := tensor.MakeMat(rows*columns, p.width)
	for i := range quarter {
		frequency := 1 / portable.Exp(math.Ln10*4*(float64(i)/float64(quarter)))
		for y := range rows {
			for x := range columns {
				row := table.Row(y*columns + x)
				ax, ay := float64(place(x, columns))*frequency, float64(place(y, rows))*frequency
				row[i], row[quarter+i] = float32(portable.Sin(ax)), float32(portable.Cos(ax))
				row[2*quarter+i], row[3*quarter+i] = float32(portable.Sin(ay)), float32(portable.Cos(ay))
			}
		}
	}
	return table
}

// Build appends, and returns, the tokens of src, an image with a pixel for each patch.
func (p *PatchEmbed) Build(g *Graph, src program.Value) program.Value {
	rows, columns := p.Grid(src.H, src.W)
	if err := p.Check(src.H, src.W); err != nil {
		panic("blocks: " + err.Error())
	}
	dst := g.Image(src.N, rows, columns, p.width)
	if p.norm != nil || p.options.NoPositions {
		p.proj.Build(g, dst, src, Fuse{})
		if p.norm != nil {
			p.norm.Build(g, dst, dst)
		}
		if !p.options.NoPositions {
			table := &positions{p.Positions(rows, columns)}
			table.build(g, p.Name+".pos_embed", dst)
		}
		return dst
	}
	// The places are a residual of the projection, the same for every image.
	table := p.Positions(rows, columns)
	g.Add(program.Op{
		Name: p.proj.Name, Kind: "conv", How: conv.Direct, Dst: dst, Src: []program.Value{src},
		Cost: func() program.Cost {
			return program.Cost{FLOP: flops(dst.Rows(), src.C*p.Size*p.Size, p.width), Bytes: float64(p.proj.w.Bytes()) + bytes(len(table.Data))}
		},
		Bind: func(m program.Memory) func() {
			d, s := m.Image(dst), m.Image(src)
			return func() {
				for n := range d.N {
					conv.Apply(g.Engine, d.Images(n, n+1), s.Images(n, n+1), p.proj.w, gemm.Prologue{}, gemm.Epilogue{Bias: p.proj.bias, Add: table})
				}
			}
		},
	})
	return dst
}

// Unpatchify fills dst from tokens, one for each patch of size × size pixels: pixels row by row, the
// channels of each in a row.
func Unpatchify(dst, tokens tensor.NHWC, size int) {
	if dst.N != tokens.N || dst.H != size*tokens.H || dst.W != size*tokens.W || tokens.C != size*size*dst.C {
		panic(fmt.Sprintf("blocks: %s of %s in patches of %d", dst.Shape(), tokens.Shape(), size))
	}
	for n := range dst.N {
		for y := range dst.H {
			for x := range dst.W {
				at := (y%size*size + x%size) * dst.C
				copy(dst.Pixel(n, y, x), tokens.Pixel(n, y/size, x/size)[at:at+dst.C])
			}
		}
	}
}

// positions is added to the tokens of every image.
type positions struct{ table tensor.Mat }

// sequencePositions are those of a row of tokens, diffusers' SinusoidalPositionalEmbedding: sin(n·ω) and
// cos(n·ω) alternate, ω[i] = 10000^(−2i/width).
func sequencePositions(tokens, width int) *positions {
	table := tensor.MakeMat(tokens, width)
	step := float32(-math.Ln10 * 4 / float64(width))
	for n := range tokens {
		row := table.Row(n)
		for i := 0; i < width; i += 2 {
			frequency := portable.Exp32(float32(i) * step)
			a := float64(float32(n) * frequency)
			row[i] = float32(portable.Sin(a))
			if i+1 < width {
				row[i+1] = float32(portable.Cos(a))
			}
		}
	}
	return &positions{table}
}

// build appends dst += the table's first rows, for every image. A nil p appends nothing.
func (p *positions) build(g *Graph, name string, dst program.Value) {
	if p == nil {
		return
	}
	tokens := dst.H * dst.W
	if tokens > p.table.Rows || dst.C != p.table.Cols {
		panic(fmt.Sprintf("blocks: %s: %d tokens of %d for positions of %d of %d", name, tokens, dst.C, p.table.Rows, p.table.Cols))
	}
	g.Add(program.Op{Name: name, Kind: "embedding", Dst: dst, Src: []program.Value{dst}, Bind: func(m program.Memory) func() {
		d := m.Mat(dst)
		return func() {
			for r := range d.Rows {
				row := d.Row(r)
				for c, v := range p.table.Row(r % tokens) {
					row[c] += v
				}
			}
		}
	}})
}
