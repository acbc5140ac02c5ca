// Package accuracy measures the rounding errors of convolutions against sums in float64.
package accuracy

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// outputs is how many channels the exact result has: errors of one are as those of another.
const outputs = 32

// Case is a 3 × 3 convolution, without a bias, of values whose exact result is known in part.
type Case struct {
	measure.Conv
	Image   []float32 // N × H × W × In, normally distributed with variance 1
	Weights []float32 // Out × In × 3 × 3, with a variance that makes that of the result 1

	exact []float64 // pixels × the first channels
	rms   float64   // of them
}

// Errors are of a float32 result, in multiples of the root mean square of the exact one: the root mean square
// of the differences, and the largest.
type Errors struct{ RMS, Max float64 }

// Cases returns a convolution for each shape of errors.txt. Enlarged, its image is half as high and wide as the
// shape says, and enlarged while it is read.
func Cases(files fs.FS, enlarged bool) ([]*Case, error) {
	all, err := shapes.Read(files, "errors", 4)
	if err != nil {
		return nil, err
	}
	var cases []*Case
	for _, s := range all {
		c := measure.Conv{N: s[0], H: s[1], W: s[2], In: s[3], Out: s[3], Geometry: conv.Same(3)}
		if enlarged {
			c.H, c.W, c.Geometry.Upsample = (c.H+1)/2, (c.W+1)/2, true
		}
		cases = append(cases, NewCase(c))
	}
	return cases, nil
}

// NewCase makes the operands and the exact result.
func NewCase(layer measure.Conv) *Case {
	c := &Case{Conv: layer, Image: make([]float32, layer.N*layer.H*layer.W*layer.In), Weights: make([]float32, layer.Out*layer.In*9)}
	normal := rand.New(rand.NewPCG(1, 2))
	for i := range c.Image {
		c.Image[i] = float32(normal.NormFloat64())
	}
	deviation := 1 / math.Sqrt(float64(9*c.In))
	for i := range c.Weights {
		c.Weights[i] = float32(deviation * normal.NormFloat64())
	}
	c.sum()
	return c
}

// sum computes the exact result.
func (c *Case) sum() {
	weights := make([]float64, 9*c.In*outputs) // tap × input × output
	for o := range min(outputs, c.Out) {
		for i := range c.In {
			for tap := range 9 {
				weights[(tap*c.In+i)*outputs+o] = float64(c.Weights[(o*c.In+i)*9+tap])
			}
		}
	}
	h, w := c.OutSize()
	c.exact = make([]float64, c.N*h*w*outputs)
	for pixel := range c.N * h * w {
		n, y, x := pixel/(h*w), pixel/w%h, pixel%w
		sums := c.exact[pixel*outputs:][:outputs]
		for tap := range 9 {
			sy, sx := y+tap/3-1, x+tap%3-1
			if sy < 0 || sy >= h || sx < 0 || sx >= w {
				continue
			}
			sy, sx = sy*c.H/h, sx*c.W/w
			for i, v := range c.Image[((n*c.H+sy)*c.W+sx)*c.In:][:c.In] {
				for o, g := range weights[(tap*c.In+i)*outputs:][:outputs] {
					sums[o] += float64(v) * g
				}
			}
		}
		for _, v := range sums {
			c.rms += v * v
		}
	}
	c.rms = math.Sqrt(c.rms / float64(c.N*h*w*min(outputs, c.Out)))
}

// Errors returns those of a result, N × H × W × Out.
func (c *Case) Errors(result []float32) (e Errors) {
	count := min(outputs, c.Out)
	pixels := len(c.exact) / outputs
	for pixel := range pixels {
		for o, v := range result[pixel*c.Out:][:count] {
			d := math.Abs(float64(v) - c.exact[pixel*outputs+o])
			e.RMS += d * d
			e.Max = max(e.Max, d)
		}
	}
	return Errors{math.Sqrt(e.RMS/float64(pixels*count)) / c.rms, e.Max / c.rms}
}

// Row is a line of a table: somebody's errors in each case, nil where there are none.
type Row struct {
	Name   string
	Errors []*Errors
}

// Lanewise returns a row for every plan.
func Lanewise(e *engine.Engine, cases []*Case) []Row {
	rows := []Row{}
	for _, plan := range cases[0].Plans() {
		rows = append(rows, Row{Name: plan.String()})
	}
	for _, c := range cases {
		direct := conv.Pack(e, c.Weights, c.Out, c.In, c.Geometry)
		src := tensor.NHWC{N: c.N, H: c.H, W: c.W, C: c.In, Stride: c.In, Data: c.Image}
		h, w := c.OutSize()
		dst := tensor.Make(c.N, h, w, c.Out)
		for i, plan := range c.Plans() {
			conv.Apply(e, dst, src, direct.With(e, plan), gemm.Prologue{}, gemm.Epilogue{})
			errors := c.Errors(dst.Data)
			rows[i].Errors = append(rows[i].Errors, &errors)
		}
	}
	return rows
}

// Write writes a table in Markdown, in 10⁻⁷ of the result's root mean square.
func Write(w io.Writer, cases []*Case, rows []Row) {
	width := 0
	for _, r := range rows {
		width = max(width, len(r.Name))
	}
	head, rule := fmt.Sprintf("| %-*s ", width, "rms / max, 10⁻⁷"), "| "+strings.Repeat("-", width)+" "
	for _, c := range cases {
		h, w := c.OutSize()
		head += fmt.Sprintf("| %14s ", fmt.Sprintf("%d, %d×%d", c.In, h, w))
		rule += "| -------------: "
	}
	fmt.Fprintf(w, "%s|\n%s|\n", head, rule)
	for _, r := range rows {
		line := fmt.Sprintf("| %-*s ", width, r.Name)
		for _, e := range r.Errors {
			cell := "–"
			if e != nil {
				cell = fmt.Sprintf("%.1f / %.0f", e.RMS*1e7, e.Max*1e7)
			}
			line += fmt.Sprintf("| %14s ", cell)
		}
		fmt.Fprintln(w, line+"|")
	}
}
