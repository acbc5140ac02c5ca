package emoji_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// How far from PyTorch's float32 results may be: a hundred times what PyTorch and diffusers differ
// by, and still a small part of a pixel's level (2/255).
const (
	stateTolerance   = 1e-4 // text states, predictions
	pictureTolerance = 1e-3 // after 20 steps
)

// golden is testdata/golden.safetensors.
type golden struct {
	t *testing.T
	f *safetensors.File
}

func openGolden(t *testing.T) golden {
	t.Helper()
	f, err := safetensors.OpenFile("testdata/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return golden{t, f}
}

func (g golden) info(name string, args ...any) safetensors.Info {
	g.t.Helper()
	name = fmt.Sprintf(name, args...)
	info, ok := g.f.Tensor(name)
	if !ok {
		g.t.Fatalf("no tensor %s", name)
	}
	return info
}

// floats returns a tensor's values.
func (g golden) floats(name string, args ...any) []float32 {
	g.t.Helper()
	info := g.info(name, args...)
	v := make([]float32, info.Elements())
	if err := g.f.Float32(info.Name, v); err != nil {
		g.t.Fatal(err)
	}
	return v
}

// ints returns a tensor's values.
func (g golden) ints(name string, args ...any) []int {
	g.t.Helper()
	info := g.info(name, args...)
	v := make([]int64, info.Elements())
	if err := g.f.Int64(info.Name, v); err != nil {
		g.t.Fatal(err)
	}
	all := make([]int, len(v))
	for i, x := range v {
		all[i] = int(x)
	}
	return all
}

// text returns a tensor of UTF-8 bytes.
func (g golden) text(name string, args ...any) string {
	var b []byte
	for _, v := range g.ints(name, args...) {
		b = append(b, byte(v))
	}
	return string(b)
}

// image returns a tensor of PyTorch's layout, 1 × 3 × 32 × 32.
func (g golden) image(name string, args ...any) tensor.NHWC {
	x := tensor.Make(1, 32, 32, 3)
	tensor.FromNCHW(x, g.floats(name, args...))
	return x
}

// near fails the test where values differ by more than tolerance.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	exact := make([]float64, len(want))
	for i, w := range want {
		exact[i] = float64(w)
	}
	kerneltest.Near(t, what, got, exact, func(int) float64 { return tolerance })
}

// The golden prompts.
const prompts = 3

// TestGolden compares with PyTorch what the model's parts say, each fed PyTorch's own input.
func TestGolden(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		g := openGolden(t)
		m, err := emoji.Load(kerneltest.Engine(t, set, 2))
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.UNet.Session(2, m.Size, m.Size)
		if err != nil {
			t.Fatal(err)
		}
		times := []int{999, 749, 499, 249, 49}
		if set.ISA == kernels.Generic && testing.Short() {
			times = times[2:3] // of half a second each
		}
		for k := range prompts {
			prompt := g.text("p%d.prompt_utf8", k)
			ids := [][]int{m.Words.Encode("").IDs, m.Words.Encode(prompt).IDs}
			for i, name := range []string{"uncond_ids", "ids"} {
				if want := g.ints("p%d.%s", k, name); !slices.Equal(ids[i], want) {
					t.Errorf("p%d.%s: %v, want %v", k, name, ids[i], want)
				}
			}
			text, err := m.Text.Encode(t.Context(), ids, clip.TextOptions{})
			if err != nil {
				t.Fatal(err)
			}
			without, with := text.States.Slice(0, text.Tokens), text.States.Slice(text.Tokens, 2*text.Tokens)
			near(t, fmt.Sprintf("p%d.uncond_text", k), without.Data, g.floats("p%d.uncond_text", k), stateTolerance)
			near(t, fmt.Sprintf("p%d.text", k), with.Data, g.floats("p%d.text", k), stateTolerance)

			b, err := s.Bind(
				cond.Cond{Context: []cond.Context{{Tokens: without}}, Class: g.ints("p%d.uncond_style", k)[0]},
				cond.Cond{Context: []cond.Context{{Tokens: with}}, Class: g.ints("p%d.style", k)[0]})
			if err != nil {
				t.Fatal(err)
			}
			for _, time := range times {
				out := tensor.Make(2, m.Size, m.Size, 3)
				if err := b.Forward(t.Context(), out, g.image("p%d.t%d.x", k, time), float64(time)); err != nil {
					t.Fatal(err)
				}
				for i, name := range []string{"uncond", "cond"} {
					name = fmt.Sprintf("p%d.t%d.%s", k, time, name)
					near(t, name, out.Images(i, i+1).Data, g.image(name).Data, stateTolerance)
				}
			}
		}
	})
}

// TestGoldenPicture compares the end of the whole way: words, noise, 20 guided steps, a picture of
// 8 bits.
func TestGoldenPicture(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		g := openGolden(t)
		m, err := emoji.Load(kerneltest.Engine(t, set, 2))
		if err != nil {
			t.Fatal(err)
		}
		s := m.Session()
		for k := range prompts {
			if set.ISA == kernels.Generic && testing.Short() && k > 0 {
				break // of ten seconds each
			}
			r := pipeline.Request{Prompt: g.text("p%d.prompt_utf8", k), Style: m.Styles[g.ints("p%d.style", k)[0]], Seed: uint64(1000 + k)}
			name, done := fmt.Sprintf("p%d.image", k), false
			for step, err := range s.Generate(t.Context(), r) {
				if err != nil {
					t.Fatal(err)
				}
				if done = step.Done(); !done {
					continue
				}
				near(t, name, step.X.Data, g.image(name).Data, pictureTolerance)
				picture, want := step.Picture(), g.ints(name+"_u8")
				for y := range m.Size {
					for x := range m.Size {
						for c := range 3 {
							got, want := int(picture.Pix[picture.PixOffset(x, y)+c]), want[(y*m.Size+x)*3+c]
							if math.Abs(float64(got-want)) > 1 {
								t.Errorf("%s, pixel %d, %d, channel %d: %d, want %d", name, x, y, c, got, want)
							}
						}
					}
				}
			}
			if !done {
				t.Errorf("%s: the picture was not finished", name)
			}
		}
	})
}

// TestGoldenNoise holds seeds to PyTorch's noise.
func TestGoldenNoise(t *testing.T) {
	g := openGolden(t)
	for k := range prompts {
		x := tensor.Make(1, 32, 32, 3)
		sampler.Noise(x, uint64(1000+k))
		want := g.image("p%d.noise", k)
		for i, v := range x.Data {
			if u := kerneltest.ULP(v, float64(want.Data[i])); u > 2 {
				t.Errorf("p%d.noise: value %d is %g, want %g (%g ulp)", k, i, v, want.Data[i], u)
			}
		}
	}
}
