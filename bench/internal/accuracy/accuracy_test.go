package accuracy

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/ref"
)

// TestExact compares the exact sums with the reference's, of an image as it is and of one that is
// enlarged, and the measured errors with ones that are put in.
func TestExact(t *testing.T) {
	for _, enlarged := range []bool{false, true} {
		layer := measure.Conv{N: 2, H: 5, W: 4, In: 3, Out: 6, Geometry: conv.Same(3)}
		layer.Geometry.Upsample = enlarged
		c := NewCase(layer)
		h, w := c.OutSize()
		image := make([]float64, c.N*h*w*c.In)
		for i := range image {
			n, y, x, channel := i/(h*w*c.In), i/(w*c.In)%h, i/c.In%w, i%c.In
			if enlarged {
				y, x = y/2, x/2
			}
			image[i] = float64(c.Image[((n*c.H+y)*c.W+x)*c.In+channel])
		}
		weights := make([]float64, len(c.Weights))
		for i, v := range c.Weights {
			weights[i] = float64(v)
		}
		want, _ := ref.Conv{N: c.N, H: h, W: w, In: c.In, Out: c.Out, KH: 3, KW: 3, Stride: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}.Apply(image, weights)
		result, squares := make([]float32, len(want)), 0.0
		for i, v := range want {
			squares += v * v
			result[i] = float32(v)
		}
		rms := math.Sqrt(squares / float64(len(want)))
		if e := c.Errors(result); e.Max > 1e-6 {
			t.Errorf("enlarged %v: the reference is off by %+v", enlarged, e)
		}
		result[7] += 0.5
		e := c.Errors(result)
		if d := e.Max*rms - 0.5; math.Abs(d) > 1e-5 {
			t.Errorf("enlarged %v: an error of 0.5 is measured as %v", enlarged, e.Max*rms)
		}
		if d := e.RMS*rms - 0.5/math.Sqrt(float64(len(want))); math.Abs(d) > 1e-5 {
			t.Errorf("enlarged %v: an error of 0.5 in %d values is measured as %v", enlarged, len(want), e.RMS*rms)
		}
	}
}

// TestTable holds what is known of the algorithms: F(2×2) errs less than the direct sum, F(4×4) and F(6×6) more, none by
// so much that it is wrong.
func TestTable(t *testing.T) {
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	cases := []*Case{NewCase(measure.Conv{N: 1, H: 12, W: 12, In: 64, Out: 64, Geometry: conv.Same(3)})}
	rows := Lanewise(e, cases)
	rms := map[string]float64{}
	for _, r := range rows {
		rms[r.Name] = r.Errors[0].RMS
		if v := r.Errors[0]; v.Max < v.RMS || v.Max > 1e-4 {
			t.Errorf("%s: %+v", r.Name, *v)
		}
	}
	if d := rms["direct"]; d < 2e-7 || d > 8e-7 || rms["winograd2"] > d || rms["winograd4"] < d || rms["winograd6"] < 2*rms["winograd4"] {
		t.Errorf("%v", rms)
	}
	var b bytes.Buffer
	Write(&b, cases, append(rows, Row{Name: "nobody", Errors: []*Errors{nil}}))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2+len(rows)+1 || !strings.Contains(lines[0], "64, 12×12") || !strings.Contains(lines[len(lines)-1], "–") {
		t.Errorf("\n%s", b.String())
	}
}
