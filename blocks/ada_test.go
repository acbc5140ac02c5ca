package blocks_test

import (
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/tensor"
)

// sinusoid is that of DiT and PixArt: 256 numbers, cosines first.
func sinusoid(t, shift float64) picture {
	p := picture{1, 1, 256, make([]float64, 256)}
	return p.each(func(i int, _ float64) float64 {
		a := t * math.Pow(10000, -float64(i%128)/(128-shift))
		if i < 128 {
			return math.Cos(a)
		}
		return math.Sin(a)
	})
}

// embedder is the network behind a sinusoid.
func (p picture) embedder(w weights, name string) picture {
	return p.linear(w, name+".linear_1").act(kernels.SiLU).linear(w, name+".linear_2")
}

// nearTimes compares with the reference at what float32 makes of a time below 1000.
func nearTimes(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	kerneltest.Near(t, what, got, want, func(int) float64 { return 1e-4 })
}

func TestTimeLabel(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	const labels, width = 5, 12
	b, w := load(t, e, func(l *blocks.Loader) *blocks.TimeLabel { return l.TimeLabel("emb", labels, width) })
	times, classes := []float64{981, 3.5}, []int{4, 0}
	v := tensor.MakeMat(2, width)
	for i, class := range classes {
		copy(v.Row(i), b.Labels.Row(class))
	}
	got := run(t, e, func(g *blocks.Graph) program.Value { return b.Build(g, times, v) }).Tokens()
	for i, time := range times {
		row := w["emb.class_embedder.embedding_table.weight"][classes[i]*width:][:width]
		want := sinusoid(time, 1).embedder(w, "emb.timestep_embedder").plus(picture{1, 1, width, row})
		nearTimes(t, "condition", got.Row(i), want.v)
	}
}

// Embeddings with the same weights are one; those that differ in any tensor are two.
func TestTimeLabelShared(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	const labels, width = 3, 8
	loadTwo := func(change string) (same bool, bytes, alone int) {
		var first, second *blocks.TimeLabel
		weights := make(map[string]modeltest.Tensor)
		read := func(fsys fs.FS) error {
			c, err := safetensors.OpenSharded(fsys, "model")
			if err != nil {
				return err
			}
			defer c.Close()
			l := blocks.NewLoader(e, c, "test")
			first = l.TimeLabel("a", labels, width)
			alone = l.Bytes()
			second = l.TimeLabel("b", labels, width, first)
			bytes = l.Bytes()
			return l.Err()
		}
		files := modeltest.Files("{}", "model", 1, read)
		for name, tensor := range modeltest.Read(files, "model") {
			if rest, ok := strings.CutPrefix(name, "a."); ok {
				weights[name] = tensor
				tensor.Data = slices.Clone(tensor.Data)
				if rest == change {
					tensor.Data[len(tensor.Data)-1]++
				}
				weights["b."+rest] = tensor
			}
		}
		files["model.safetensors"].Data = modeltest.Safetensors(weights)
		if err := read(files); err != nil {
			t.Fatal(err)
		}
		return first == second, bytes, alone
	}
	if same, bytes, alone := loadTwo(""); !same || bytes != alone {
		t.Errorf("the same weights are kept as %d bytes, one is of %d", bytes, alone)
	}
	for _, name := range []string{"timestep_embedder.linear_1.weight", "timestep_embedder.linear_1.bias",
		"timestep_embedder.linear_2.weight", "timestep_embedder.linear_2.bias", "class_embedder.embedding_table.weight"} {
		if same, bytes, alone := loadTwo(name); same || bytes != 2*alone {
			t.Errorf("embeddings that differ in %s are one, of %d bytes", name, bytes)
		}
	}
}

func TestAdaLayerNormSingle(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	const channels = 12
	for _, sizes := range []bool{false, true} {
		b, w := load(t, e, func(l *blocks.Loader) *blocks.AdaLayerNormSingle { return l.AdaLayerNormSingle("ada", channels, sizes) })
		times := []float64{999, 20}
		given := [][3]float64{{512, 768, 0.67}, {1024, 1024, 1}}
		var v tensor.Mat
		if sizes {
			v = tensor.MakeMat(2, channels)
			for i, s := range given {
				b.Sizes.Embed(e, v.Row(i), s[0], s[1], s[2])
			}
		} else if b.Sizes != nil {
			t.Error("an embedding of sizes that nobody asked for")
		}
		var modulation program.Value
		c := run(t, e, func(g *blocks.Graph) program.Value { return b.Build(g, times, v) }).Tokens()
		all := run(t, e, func(g *blocks.Graph) program.Value {
			b.Build(g, times, v)
			modulation = g.Modulation
			return modulation
		}).Tokens()
		for i, time := range times {
			want := sinusoid(time, 0).embedder(w, "ada.emb.timestep_embedder")
			if sizes {
				var parts []float64
				for k, size := range given[i] {
					name := "ada.emb.resolution_embedder"
					if k == 2 {
						name = "ada.emb.aspect_ratio_embedder"
					}
					parts = append(parts, sinusoid(size, 0).embedder(w, name).v...)
				}
				want = want.plus(picture{1, 1, channels, parts})
			}
			nearTimes(t, "condition", c.Row(i), want.v)
			nearTimes(t, "modulations", all.Row(i), want.act(kernels.SiLU).linear(w, "ada.linear").v)
		}
	}
}

// A table of two rows adds the same vector to each.
func TestScaleShiftTable(t *testing.T) {
	judge(t, func(l *blocks.Loader) *blocks.ScaleShiftTable { return l.ScaleShiftTable("table", 2, 6) },
		[]tensor.NHWC{image(1, 2, 1, 1, 6)},
		func(g *blocks.Graph, b *blocks.ScaleShiftTable, in []tensor.NHWC) program.Value {
			return b.Build(g, input(g, "c", in[0]))
		},
		func(w weights, in []picture) picture {
			return picture{1, 1, 12, slices.Repeat(in[0].v, 2)}.each(func(i int, v float64) float64 { return v + w["table"][i] })
		})
}

func TestTextProjection(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	b, w := load(t, e, func(l *blocks.Loader) *blocks.TextProjection {
		return l.TextProjection("text", 5, 9, 7, kernels.GELUTanh)
	})
	tokens := image(1, 3, 1, 1, 5)
	got := b.Project(e, tokens.Tokens())
	for r := range got.Rows {
		want := pictureOf(tokens.Images(r, r+1)).linear(w, "text.linear_1").act(kernels.GELUTanh).linear(w, "text.linear_2")
		kerneltest.Near(t, "token", got.Row(r), want.v, func(i int) float64 { return 1e-6 * (1 + math.Abs(want.v[i])) })
	}
}

// AdaNorm in the two orders of its columns.
func TestAdaNorm(t *testing.T) {
	for _, shiftFirst := range []bool{false, true} {
		o := blocks.AdaNormOptions{NormOptions: blocks.NormOptions{Eps: 1e-6, Scale: true, Shift: true}, Width: 5, Bias: true, ShiftFirst: shiftFirst}
		judge(t, func(l *blocks.Loader) *blocks.AdaNorm { return l.AdaNorm("n.norm", "n.linear", 8, o) },
			[]tensor.NHWC{image(1, 2, 3, 1, 8), image(2, 2, 1, 1, 5)},
			func(g *blocks.Graph, b *blocks.AdaNorm, in []tensor.NHWC) program.Value {
				x := input(g, "x", in[0])
				b.Build(g, x, x, input(g, "c", in[1]))
				return x
			},
			func(w weights, in []picture) picture {
				m := in[1].linear(w, "n.linear").v
				if shiftFirst {
					m = append(append([]float64(nil), m[8:]...), m[:8]...)
				}
				return in[0].layerNorm(w, "n.norm", 1e-6).modulated(m)
			})
	}
}
