package sampler_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// draw is one entry of testdata/noise.json: see noise.py there.
type draw struct {
	Seed   uint64
	Sizes  []int
	FNV    string `json:"fnv1a"`
	Offset *int
}

// draws returns the draws that PyTorch made and the values of those that were kept whole.
func draws(t *testing.T) ([]draw, []float32) {
	text, err := os.ReadFile("testdata/noise.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []draw
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/noise.f32")
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, len(raw)/4)
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	return all, values
}

// hash is the 64-bit FNV-1a hash of the values' bytes, little-endian.
func hash(values []float32) string {
	h := fnv.New64a()
	binary.Write(h, binary.LittleEndian, values)
	return fmt.Sprintf("%016x", h.Sum64())
}

// Every value that PyTorch drew, bit for bit.
func TestNormalIsPyTorchs(t *testing.T) {
	all, values := draws(t)
	compared := 0
	for _, d := range all {
		g := sampler.NewGenerator(d.Seed)
		var got []float32
		for _, n := range d.Sizes {
			part := make([]float32, n)
			g.Normal(part)
			got = append(got, part...)
		}
		if h := hash(got); h != d.FNV {
			t.Errorf("seed %d, sizes %v: hash %s, want %s", d.Seed, d.Sizes, h, d.FNV)
		}
		if d.Offset == nil {
			continue
		}
		compared += len(got)
		for i, want := range values[*d.Offset:][:len(got)] {
			if math.Float32bits(got[i]) != math.Float32bits(want) {
				t.Errorf("seed %d, sizes %v: value %d is %v, want %v", d.Seed, d.Sizes, i, got[i], want)
				break
			}
		}
	}
	if compared != len(values) || len(all) < 6*7 {
		t.Errorf("compared %d values of %d in %d draws", compared, len(values), len(all))
	}
}

// Noise lays the values out as PyTorch's N×C×H×W is read, at any stride.
func TestNoiseOrder(t *testing.T) {
	const n, h, w, c = 2, 3, 5, 4
	flat := make([]float32, n*h*w*c)
	sampler.NewGenerator(9).Normal(flat)
	wide := tensor.Make(n, h, w, 7)
	x := wide.Channels(2, 2+c)
	sampler.Noise(x, 9)
	for i := range n {
		for y := range h {
			for u := range w {
				for k, v := range x.Pixel(i, y, u) {
					if want := flat[((i*c+k)*h+y)*w+u]; v != want {
						t.Fatalf("image %d, channel %d, row %d, column %d is %v, want %v", i, k, y, u, v, want)
					}
				}
				if p := wide.Pixel(i, y, u); p[0] != 0 || p[1] != 0 || p[6] != 0 {
					t.Fatalf("wrote beside the channels: %v", p)
				}
			}
		}
	}
}

// Only the low 32 bits of a seed count, and a generator goes on where it was.
func TestGeneratorStream(t *testing.T) {
	a, b := sampler.NewGenerator(5), sampler.NewGenerator(1<<32+5)
	x, y := make([]float32, 33), make([]float32, 33)
	a.Normal(x)
	b.Normal(y)
	if hash(x) != hash(y) {
		t.Error("seeds 5 and 2³²+5 differ")
	}
	a.Normal(y)
	if hash(x) == hash(y) {
		t.Error("the second draw repeats the first")
	}
}

func TestNormalMoments(t *testing.T) {
	v := make([]float32, 1<<18)
	sampler.NewGenerator(3).Normal(v)
	var sum, square, fourth float64
	for _, x := range v {
		s := float64(x) * float64(x)
		sum, square, fourth = sum+float64(x), square+s, fourth+s*s
	}
	n := float64(len(v))
	// Five standard deviations of each estimate: √(1/n), √(2/n), √(96/n).
	for _, m := range []struct {
		name           string
		got, want, dev float64
	}{{"mean", sum / n, 0, 1}, {"variance", square / n, 1, 2}, {"fourth moment", fourth / n, 3, 96}} {
		if math.Abs(m.got-m.want) > 5*math.Sqrt(m.dev/n) {
			t.Errorf("%s %g, want %g", m.name, m.got, m.want)
		}
	}
}

func BenchmarkNoise(b *testing.B) {
	x := tensor.Make(1, 64, 64, 4)
	g := sampler.NewGenerator(1)
	b.SetBytes(4 * 64 * 64 * 4)
	for b.Loop() {
		g.Noise(x)
	}
}
