package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

func TestTokens(t *testing.T) {
	for kind, file := range prompts {
		t.Run(kind, func(t *testing.T) {
			w := file()
			rows := 1
			if kind != "Plain" && kind != "Face" {
				rows = 9
			}
			pictures := []tensor.Mat{random(2, rows, embed), random(3, rows, embed)}
			id := random(4, 1, identity)
			want := w.want(kind, matrixOf(pictures[0]), matrixOf(id), 0)
			want.data = append(want.data, w.want(kind, matrixOf(pictures[1]), matrixOf(id), 0).data...)
			var first []float32 // of the best Set
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				var own []float32
				for _, workers := range []int{1, 2, 7} {
					p := load(t, kerneltest.Engine(t, set, workers), w)
					if !strings.HasPrefix(kind, p.Kind.String()) || p.Width != width || p.Embedding != embed || len(p.Unused) > 0 || p.Bytes == 0 {
						t.Fatalf("kind %v, width %d, embedding %d, unused %v, %d bytes", p.Kind, p.Width, p.Embedding, p.Unused, p.Bytes)
					}
					var got tensor.Mat
					var err error
					if kind == "FacePlus" {
						got, err = p.FaceTokens(t.Context(), id, pictures[0], 0)
						second, err2 := p.FaceTokens(t.Context(), id, pictures[1], 0)
						err = errors.Join(err, err2)
						got.Rows, got.Data = got.Rows+second.Rows, append(got.Data, second.Data...)
					} else {
						got, err = p.Tokens(t.Context(), pictures...)
					}
					if err != nil {
						t.Fatal(err)
					}
					if got.Rows != want.rows() || got.Cols != width {
						t.Fatalf("%d×%d tokens, want %d×%d", got.Rows, got.Cols, want.rows(), width)
					}
					kerneltest.Near(t, "tokens", got.Data, want.data, func(int) float64 { return 2e-5 })
					if own == nil {
						own = got.Data
					}
					kerneltest.Same(t, kerneltest.Name("workers", workers), got.Data, own)
				}
				switch {
				case set.ISA == kernels.Generic: // rounds twice at times
				case first == nil:
					first = own
				default:
					kerneltest.Same(t, "another Set's", own, first)
				}
			})
		})
	}
}

// A shortcut adds the tokens of the face alone.
func TestFaceShortcut(t *testing.T) {
	w := prompts["FacePlus"]()
	// Shortcuts need tokens as wide as those within.
	w.linear("image_proj.perceiver_resampler.proj_out", hidden, hidden)
	w.norm("image_proj.perceiver_resampler.norm_out", hidden)
	for name := range w {
		if strings.HasPrefix(name, "ip_adapter.") {
			w.add(name, 8, hidden)
		}
	}
	p := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), w)
	states, id := random(1, 5, embed), random(2, 1, identity)
	for _, shortcut := range []float32{0, 1, 0.5} {
		got, err := p.FaceTokens(t.Context(), id, states, shortcut)
		if err != nil {
			t.Fatal(err)
		}
		want := w.want("FacePlus", matrixOf(states), matrixOf(id), float64(shortcut))
		kerneltest.Near(t, "tokens", got.Data, want.data, func(int) float64 { return 2e-5 })
	}
}

func TestNegative(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for kind, file := range prompts {
		w := file()
		p := load(t, e, w)
		got, err := p.Negative(t.Context())
		if kind != "Plain" && kind != "Face" {
			modeltest.Says(t, err, "adapter: ", p.Kind.String(), "picture of zeros")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want := w.want(kind, matrix{embed, make([]float64, embed)}, matrix{}, 0)
		kerneltest.Near(t, kind, got.Data, want.data, func(int) float64 { return 1e-5 })
	}
}

// Layers come by rising number, and make keys and values.
func TestLayers(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	w := prompts["Plain"]()
	layers := load(t, e, w).Layers()
	for i, number := range []int{1, 3, 5, 11} {
		l := layers[i]
		inner := len(w[fmt.Sprintf("ip_adapter.%d.to_k_ip.weight", number)].Data) / width
		if l.Number != number || l.Inner != inner || l.KV.In != width || l.KV.Out != 2*inner {
			t.Errorf("layer %d: number %d, inner %d, %d→%d", i, l.Number, l.Inner, l.KV.In, l.KV.Out)
		}
		g := &blocks.Graph{Engine: e}
		x := random(7, 4, width)
		src, dst := g.Mat(4, width), g.Mat(4, 2*inner)
		g.Add(program.Op{Name: "x", Dst: src, Bind: func(m program.Memory) func() {
			d := m.Mat(src)
			return func() {
				for r := range d.Rows {
					copy(d.Row(r), x.Row(r))
				}
			}
		}})
		l.KV.Build(g, dst, src, blocks.Fuse{})
		var got []float32
		g.Add(program.Op{Name: "kv", Src: []program.Value{dst}, Bind: func(m program.Memory) func() {
			s := m.Mat(dst)
			return func() { got = kerneltest.Values(s) }
		}})
		if err := g.Build().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		k := w.linearOf(fmt.Sprintf("ip_adapter.%d.to_k_ip", number), matrixOf(x))
		v := w.linearOf(fmt.Sprintf("ip_adapter.%d.to_v_ip", number), matrixOf(x))
		var want []float64
		for r := range 4 {
			want = append(append(want, k.data[r*inner:(r+1)*inner]...), v.data[r*inner:(r+1)*inner]...)
		}
		kerneltest.Near(t, "keys and values", got, want, func(int) float64 { return 1e-5 })
	}
}

func TestLoadImagePromptErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	nan := modeltest.Random("x", 1, width)
	nan.Data[2] = float32(math.NaN())
	for _, test := range []struct {
		kind   string
		change func(weights)
		want   []string
	}{
		{"Plain", func(w weights) { clear(w) }, []string{file, "no image prompt of a known kind"}},
		{"Plain", func(w weights) { delete(w, "image_proj.proj.weight"); delete(w, "image_proj.norm.weight") }, []string{"known kind", "image_proj.proj.bias"}},
		{"Plain", func(w weights) { delete(w, "image_proj.norm.weight") }, []string{"image_proj.norm.weight: missing", file}},
		{"Plain", func(w weights) { delete(w, "image_proj.norm.bias"); delete(w, "image_proj.proj.bias") }, []string{"image_proj.norm.bias: missing", "image_proj.proj.bias: missing"}},
		{"Plain", func(w weights) { w.add("image_proj.norm.weight", 7) }, []string{"image_proj.proj.weight: 36 rows, want a multiple of 7"}},
		{"Plain", func(w weights) { w.add("image_proj.proj.weight", 36) }, []string{"image_proj.proj.weight: shape [36], want 2 sizes"}},
		{"Plain", func(w weights) { w.add("image_proj.proj.weight", 0, 20) }, []string{"image_proj.proj.weight: shape [0 20]"}},
		{"Plain", func(w weights) { w["image_proj.norm.bias"] = nan }, []string{"image_proj.norm.bias", "value 2 is NaN"}},
		{"Plain", func(w weights) { delete(w, "ip_adapter.3.to_v_ip.weight") }, []string{"ip_adapter.3.to_v_ip.weight: missing"}},
		{"Plain", func(w weights) { w.add("ip_adapter.3.to_v_ip.weight", 9, 13) }, []string{"ip_adapter.3.to_v_ip.weight: shape [9 13], want [9 12]"}},
		{"Plain", func(w weights) { w.add("ip_adapter.3.to_k_ip.weight", 9, 13) }, []string{"ip_adapter.3.to_k_ip.weight: shape [9 13], want [9 12]"}},
		{"Plain", func(w weights) { delete(w, "ip_adapter.3.to_k_ip.weight") }, []string{"ip_adapter.3.to_k_ip.weight: missing"}},
		{"Full", func(w weights) {
			delete(w, "ip_adapter.1.to_k_ip.weight")
			delete(w, "ip_adapter.1.to_v_ip.weight")
		}, []string{"no tensor ip_adapter.<number>.to_k_ip.weight"}},
		{"Full", func(w weights) { w.add("image_proj.proj.2.weight", 12, 21) }, []string{"image_proj.proj.2.weight: shape [12 21], want [12 20]"}},
		{"Plus", func(w weights) { w.add("image_proj.layers.1.0.to_q.weight", 96, hidden) }, []string{"image_proj.layers.1.0.to_q.weight: 96 rows, want a multiple of 64"}},
		{"Plus", func(w weights) { delete(w, "image_proj.layers.0.0.to_q.weight") }, []string{"image_proj.layers.0.0.to_q.weight: missing"}},
		{"Plus", func(w weights) { delete(w, "image_proj.layers.1.0.to_q.weight") }, []string{"image_proj.layers.1.0.to_q.weight: missing"}},
		{"Plus", func(w weights) { w.add("image_proj.latents", 1, 3, 17) }, []string{"image_proj.latents: shape [1 3 17], want [1 3 16]"}},
		{"Plus", func(w weights) { w.add("image_proj.layers.1.0.to_kv.weight", 128, hidden) }, []string{"image_proj.layers.1.0.to_kv.weight: shape [128 16], want [256 16]"}},
		{"FacePlus", func(w weights) { delete(w, "image_proj.proj.2.weight") }, []string{"image_proj.proj.2.weight: missing"}},
	} {
		w := prompts[test.kind]()
		test.change(w)
		_, err := adapter.LoadImagePrompt(e, w.files(), file)
		modeltest.Says(t, err, append(test.want, "adapter: ")...)
	}
	_, err := adapter.LoadImagePrompt(e, fstest.MapFS{}, file)
	modeltest.Says(t, err, "adapter: ", file)

	w := prompts["Plain"]()
	w.add("ip_adapter.0.to_q_lora.down.weight", 2, 8)
	w.add("ip_adapter.01.to_k_ip.weight", 2, 8)
	if p := load(t, e, w); len(p.Unused) != 2 || !strings.Contains(p.Unused[0], "ip_adapter.0.to_q_lora.down.weight") || len(p.Layers()) != 4 {
		t.Errorf("unused %q, %d layers", p.Unused, len(p.Layers()))
	}
}

func TestTokensErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	plain, plus, face := load(t, e, prompts["Plain"]()), load(t, e, prompts["Plus"]()), load(t, e, prompts["FacePlus"]())
	nan := random(1, 3, embed)
	nan.Row(1)[4] = float32(math.Inf(1))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	good, id := random(1, 1, embed), random(2, 1, identity)
	for want, f := range map[string]func() (tensor.Mat, error){
		"adapter: tokens of no picture":                             func() (tensor.Mat, error) { return plain.Tokens(t.Context()) },
		"adapter: picture 1: embedding of 2×20, want 1×20":          func() (tensor.Mat, error) { return plain.Tokens(t.Context(), good, random(1, 2, embed)) },
		"adapter: picture 0: embedding of 1×21, want 1×20":          func() (tensor.Mat, error) { return plain.Tokens(t.Context(), random(1, 1, 21)) },
		"adapter: picture 0: states of 3×12, want at least 1 of 20": func() (tensor.Mat, error) { return plus.Tokens(t.Context(), random(1, 3, 12)) },
		"adapter: picture 0: states of 0×20":                        func() (tensor.Mat, error) { return plus.Tokens(t.Context(), random(1, 0, embed)) },
		"adapter: picture 0: picture: row 1 is +Inf at column 4":    func() (tensor.Mat, error) { return plus.Tokens(t.Context(), nan) },
		"context canceled": func() (tensor.Mat, error) { return plus.Tokens(canceled, good) },
		"adapter: tokens of the kind FacePlus are made by FaceTokens": func() (tensor.Mat, error) { return face.Tokens(t.Context(), good) },
		"adapter: tokens of the kind Plus are made by Tokens":         func() (tensor.Mat, error) { return plus.FaceTokens(t.Context(), id, good, 0) },
		"adapter: identity of 1×20, want 1×10":                        func() (tensor.Mat, error) { return face.FaceTokens(t.Context(), good, good, 0) },
		"adapter: states of 1×10":                                     func() (tensor.Mat, error) { return face.FaceTokens(t.Context(), id, id, 0) },
		"adapter: a shortcut from tokens of 16 columns to those of 12": func() (tensor.Mat, error) {
			return face.FaceTokens(t.Context(), id, good, 1)
		},
		"adapter: shortcut NaN": func() (tensor.Mat, error) {
			return face.FaceTokens(t.Context(), id, good, float32(math.NaN()))
		},
	} {
		_, err := f()
		modeltest.Says(t, err, want)
	}
}

// Tokens of one prompt may be made at the same time.
func TestConcurrentTokens(t *testing.T) {
	p := load(t, kerneltest.Engine(t, kernels.Available()[0], 3), prompts["Plus"]())
	x := random(1, 6, embed)
	want, err := p.Tokens(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() {
			for range 5 {
				got, err := p.Tokens(t.Context(), x)
				if err != nil || !slices.Equal(got.Data, want.Data) {
					failed <- fmt.Errorf("other tokens, error %v", err)
					return
				}
			}
			failed <- nil
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func FuzzLoadImagePrompt(f *testing.F) {
	for kind := range maps.Keys(prompts) {
		f.Add(kind, uint16(0), uint8(0))
		f.Add(kind, uint16(5), uint8(1))
		f.Add(kind, uint16(3), uint8(2))
	}
	e := kerneltest.Engine(f, kernels.Available()[0], 1)
	f.Fuzz(func(t *testing.T, kind string, at uint16, how uint8) {
		build, ok := prompts[kind]
		if !ok {
			return
		}
		w := build()
		names := slices.Sorted(maps.Keys(w))
		name := names[int(at)%len(names)]
		shape := slices.Clone(w[name].Shape)
		switch how % 4 {
		case 0:
			delete(w, name)
		case 1:
			w.add(name, append(shape, 1)...)
		default:
			shape[int(how/4)%len(shape)] = int(how / 4 % 32)
			w.add(name, shape...)
		}
		p, err := adapter.LoadImagePrompt(e, w.files(), file)
		if err == nil && p.Kind != adapter.FacePlus {
			rows := 1
			if p.Kind == adapter.Plus || p.Kind == adapter.Full {
				rows = 4
			}
			if _, err := p.Tokens(t.Context(), tensor.MakeMat(rows, p.Embedding)); err != nil {
				t.Error(err)
			}
		}
	})
}
