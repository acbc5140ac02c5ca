package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

const checkpoint = "diffusion_pytorch_model"

// t2i writes the directory of an adapter with random weights.
func t2i(t testing.TB, seed uint64, config string) fstest.MapFS {
	t.Helper()
	e := kerneltest.EngineOf(t, engine.Options{Workers: 1})
	return modeltest.Files(config, checkpoint, seed, func(fsys fs.FS) error { _, err := adapter.LoadT2I(e, fsys); return err })
}

// loadT2I reads an adapter.
func loadT2I(t testing.TB, e *engine.Engine, fsys fs.FS) *adapter.T2I {
	t.Helper()
	a, err := adapter.LoadT2I(e, fsys)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// features runs an adapter on pictures.
func features(t testing.TB, a *adapter.T2I, x tensor.NHWC) []tensor.NHWC {
	t.Helper()
	s, err := a.Session(x.N, x.H, x.W)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Forward(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return r.Levels
}

// picture returns n random pictures.
func picture(seed uint64, n, h, w, c int) tensor.NHWC {
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: kerneltest.Random(seed, n*h*w*c)}
}

// t2iReference is an adapter in float64, written after diffusers' models/adapter.py.
type t2iReference struct {
	t       testing.TB
	weights map[string]modeltest.Tensor
}

// planes are images in float64.
type planes struct {
	n, h, w, c int
	data       []float64
}

// conv is a convolution that keeps the size, whatever the kernel's.
func (r *t2iReference) conv(name string, x planes) planes {
	r.t.Helper()
	read := func(name string) ([]int, []float64) {
		w, ok := r.weights[name]
		if !ok {
			r.t.Fatalf("no %s", name)
		}
		return w.Shape, kerneltest.Float64s(w.Data)
	}
	shape, w := read(name + ".weight")
	_, bias := read(name + ".bias")
	k := shape[2]
	y, _ := ref.Conv{N: x.n, H: x.h, W: x.w, In: x.c, Out: shape[0], KH: k, KW: k, Stride: 1, Top: k / 2, Left: k / 2, Bottom: k / 2, Right: k / 2}.Apply(x.data, w)
	for i := range y {
		y[i] += bias[i%shape[0]]
	}
	return planes{x.n, x.h, x.w, shape[0], y}
}

func pool(x planes) planes {
	oh, ow := (x.h+1)/2, (x.w+1)/2
	return planes{x.n, oh, ow, x.c, ref.AveragePool(x.n, x.h, x.w, x.c, 2, oh, ow, x.data)}
}

// layers are residual layers: x + block2(relu(block1(x))).
func (r *t2iReference) layers(name string, n int, x planes) planes {
	for j := range n {
		layer := fmt.Sprintf("%s.resnets.%d", name, j)
		h := r.conv(layer+".block1", x)
		for i, v := range h.data {
			h.data[i] = max(v, 0)
		}
		h = r.conv(layer+".block2", h)
		sum := planes{x.n, x.h, x.w, x.c, slices.Clone(x.data)}
		for i, v := range h.data {
			sum.data[i] += v
		}
		x = sum
	}
	return x
}

// features computes those of all levels.
func (r *t2iReference) features(kind string, channels []int, factor, layers int, picture tensor.NHWC) (levels []planes) {
	src := kerneltest.Float64s(kerneltest.Values(picture.Tokens()))
	n, h, w, c := picture.N, picture.H, picture.W, picture.C
	x := planes{n, h / factor, w / factor, c * factor * factor, ref.PixelUnshuffle(n, h, w, c, factor, src)}
	switch kind {
	case "light_adapter":
		for i := range len(channels) + 1 {
			name := fmt.Sprintf("adapter.body.%d", i)
			if i > 0 {
				x = pool(x)
			}
			x = r.conv(name+".out_conv", r.layers(name, layers, r.conv(name+".in_conv", x)))
			levels = append(levels, x)
		}
	default:
		x = r.conv("adapter.conv_in", x)
		for i := range channels {
			name := fmt.Sprintf("adapter.body.%d", i)
			if kind == "full_adapter" && i > 0 || kind == "full_adapter_xl" && i == 2 {
				x = pool(x)
			}
			if i > 0 && channels[i] != channels[i-1] {
				x = r.conv(name+".in_conv", x)
			}
			x = r.layers(name, layers, x)
			levels = append(levels, x)
		}
	}
	return levels
}

func TestT2I(t *testing.T) {
	for _, test := range []struct {
		kind           string
		in             int
		channels       []int
		factor, layers int
		h, w           int
	}{
		{"full_adapter", 3, []int{8, 8, 12}, 4, 2, 28, 12}, // 7×3, 4×2, 2×1
		{"full_adapter", 1, []int{5}, 1, 1, 9, 6},
		{"full_adapter", 2, []int{8, 16}, 2, 0, 10, 6},
		{"full_adapter_xl", 3, []int{8, 12, 16, 16, 16}, 2, 1, 14, 10},
		{"full_adapter_xl", 3, []int{8, 8}, 2, 3, 4, 4},
		{"light_adapter", 3, []int{8, 4, 22}, 2, 2, 22, 10},
		{"light_adapter", 4, []int{16}, 8, 4, 24, 40},
	} {
		t.Run(fmt.Sprint(test.kind, test.channels), func(t *testing.T) {
			channels := strings.Join(strings.Fields(fmt.Sprint(test.channels)), ", ")
			fsys := t2i(t, 3, fmt.Sprintf(`{"_class_name": "T2IAdapter", "adapter_type": %q, "in_channels": %d, "channels": %s, "downscale_factor": %d, "num_res_blocks": %d}`,
				test.kind, test.in, channels, test.factor, test.layers))
			x := picture(5, 2, test.h, test.w, test.in)
			r := &t2iReference{t, modeltest.Read(fsys, checkpoint)}
			want := r.features(test.kind, test.channels, test.factor, test.layers, x)
			var first []float32 // of the best Set
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				var alone []float32
				for _, workers := range []int{1, 2, 7} {
					a := loadT2I(t, kerneltest.Engine(t, set, workers), fsys)
					if len(a.Unknown) > 0 || len(a.Unused) > 0 || a.Bytes == 0 {
						t.Fatalf("unknown %v, unused %v, %d bytes", a.Unknown, a.Unused, a.Bytes)
					}
					got := features(t, a, x)
					if len(got) != len(want) {
						t.Fatalf("%d levels, want %d", len(got), len(want))
					}
					var all []float32
					for i, f := range got {
						if w := want[i]; f.N != w.n || f.H != w.h || f.W != w.w || f.C != w.c {
							t.Fatalf("level %d is %s, want %d×%d×%d×%d", i, f.Shape(), w.n, w.h, w.w, w.c)
						}
						kerneltest.Near(t, fmt.Sprint("level ", i), f.Data, want[i].data, func(int) float64 { return 2e-5 })
						all = append(all, f.Data...)
					}
					if alone == nil {
						one, other := features(t, a, x.Images(0, 1)), features(t, a, x.Images(1, 2))
						for i := range one {
							alone = append(append(alone, one[i].Data...), other[i].Data...)
						}
					}
					kerneltest.Same(t, kerneltest.Name("workers", workers), all, alone)
				}
				switch {
				case set.ISA == kernels.Generic: // rounds twice at times
				case first == nil:
					first = alone
				default:
					kerneltest.Same(t, "another Set's", alone, first)
				}
			})
		})
	}
}

const small = `{"_class_name": "T2IAdapter", "adapter_type": "full_adapter", "channels": [8, 16], "downscale_factor": 2, "num_res_blocks": 1}`

// looked is a context that calls a function when it is looked at.
type looked struct {
	context.Context
	at func()
}

func (l looked) Err() error {
	l.at()
	return l.Context.Err()
}

func TestMultiT2I(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	dirs := fstest.MapFS{}
	for i, dir := range []string{"pose", "pose_1", "pose_2", "pose_4"} {
		config := small
		if i == 1 {
			config = strings.Replace(small, `"channels"`, `"in_channels": 1, "channels"`, 1)
		}
		for name, f := range t2i(t, uint64(i), config) {
			dirs[dir+"/"+name] = f
		}
	}
	m, err := adapter.LoadMultiT2I(e, dirs, "pose")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Adapters) != 3 {
		t.Fatalf("%d adapters, want pose, pose_1 and pose_2", len(m.Adapters))
	}
	s, err := m.Session(1, 8, 6)
	if err != nil {
		t.Fatal(err)
	}
	pictures := []tensor.NHWC{picture(1, 1, 8, 6, 3), picture(2, 1, 8, 6, 1), picture(3, 1, 8, 6, 3)}
	for _, weights := range [][]float64{nil, {1, 0.5, -2}, {0, 0, 1}} {
		r, err := s.Forward(t.Context(), pictures, weights)
		if err != nil {
			t.Fatal(err)
		}
		want := make([][]float64, len(r.Levels))
		for i, a := range m.Adapters {
			weight := 1.0 / 3
			if weights != nil {
				weight = weights[i]
			}
			for l, f := range features(t, a, pictures[i]) {
				if want[l] == nil {
					want[l] = make([]float64, len(f.Data))
				}
				for j, v := range f.Data {
					want[l][j] += weight * float64(v)
				}
			}
		}
		for l, f := range r.Levels {
			kerneltest.Near(t, fmt.Sprint("level ", l), f.Data, want[l], func(int) float64 { return 1e-5 })
		}
	}
	kerneltest.NoAllocations(t, "Forward", func() {
		if _, err := s.Forward(t.Context(), pictures, nil); err != nil {
			t.Fatal(err)
		}
	})
	tried := false
	during := looked{t.Context(), func() {
		if !tried {
			tried = true
			_, err := s.Forward(t.Context(), pictures, nil)
			modeltest.Says(t, err, "adapter: the session is in use")
		}
	}}
	if _, err := s.Forward(during, pictures, nil); err != nil || !tried {
		t.Errorf("tried %v: %v", tried, err)
	}

	for want, f := range map[string]func() error{
		"adapter: 1 pictures and 0 weights for 3 adapters": func() error { _, err := s.Forward(t.Context(), pictures[:1], nil); return err },
		"adapter: 3 pictures and 2 weights for 3 adapters": func() error { _, err := s.Forward(t.Context(), pictures, []float64{1, 2}); return err },
		"adapter: weight NaN":                              func() error { _, err := s.Forward(t.Context(), pictures, []float64{1, math.NaN(), 1}); return err },
		"adapter: picture is 1×8×6×3, want 1×8×6×1": func() error {
			_, err := s.Forward(t.Context(), []tensor.NHWC{pictures[0], pictures[0], pictures[2]}, nil)
			return err
		},
		"want multiples of 2":  func() error { _, err := m.Session(1, 7, 6); return err },
		"adapter: no adapters": func() error { _, err := adapter.NewMultiT2I(); return err },
		"adapter: adapter 1 is a light_adapter of factor 2 with channels [8 16], whose features are not those of adapter 0": func() error {
			light := loadT2I(t, e, t2i(t, 1, strings.Replace(small, "full", "light", 1)))
			_, err := adapter.NewMultiT2I(m.Adapters[0], light)
			return err
		},
		"adapter: open nothing": func() error { _, err := adapter.LoadMultiT2I(e, dirs, "nothing"); return err },
		"adapter: broken: ":     func() error { _, err := adapter.LoadMultiT2I(e, fstest.MapFS{"broken/x": {}}, "broken"); return err },
	} {
		modeltest.Says(t, f(), want)
	}
}

func TestT2IForward(t *testing.T) {
	fsys := t2i(t, 1, small)
	for _, workers := range []int{1, 2} {
		a := loadT2I(t, kerneltest.Engine(t, kernels.Available()[0], workers), fsys)
		s, err := a.Session(2, 8, 6)
		if err != nil {
			t.Fatal(err)
		}
		x := picture(1, 2, 8, 6, 3)
		ctx, cancel := context.WithCancel(t.Context())
		kerneltest.NoAllocations(t, kerneltest.Name("workers", workers), func() {
			if _, err := s.Forward(ctx, x); err != nil {
				t.Fatal(err)
			}
		})
		cancel()
		if _, err := s.Forward(ctx, x); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		modeltest.OneUser(t, s.Program(), func() error { _, err := s.Forward(t.Context(), x); return err })
		for _, wrong := range []tensor.NHWC{picture(1, 1, 8, 6, 3), picture(1, 2, 6, 8, 3), picture(1, 2, 8, 6, 4)} {
			_, err := s.Forward(t.Context(), wrong)
			modeltest.Says(t, err, "adapter: picture is "+wrong.Shape(), "want 2×8×6×3")
		}
		for _, size := range [][3]int{{0, 8, 8}, {1, 0, 8}, {1, 8, -2}, {1, 7, 8}, {1, 8, 7}, {1, 1 << 20, 1 << 20}, {1 << 62, 8, 8}} {
			if _, err := a.Session(size[0], size[1], size[2]); err == nil {
				t.Errorf("no error from a session of %v", size)
			}
		}
	}
}

func TestLoadT2IErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for config, want := range map[string][]string{
		`{"_class_name": "ControlNetModel"}`:                                  {"_class_name", "T2IAdapter"},
		`{"adapter_type": "heavy_adapter", "in_channels": 0}`:                 {"adapter_type", "full_adapter_xl", "light_adapter", "in_channels"},
		`{"channels": []}`:                                                    {"channels"},
		`{"num_res_blocks": -1}`:                                              {"num_res_blocks", "0 to 1024"},
		`{"num_res_blocks": 1000000}`:                                         {"num_res_blocks"},
		`{"downscale_factor": 10000}`:                                         {"downscale_factor", "16777216"},
		`{"downscale_factor": 16777216}`:                                      {"downscale_factor"},
		`{"adapter_type": "full_adapter_xl", "channels": [320,640,1280,640]}`: {"channels", "full_adapter_xl"},
		`{"adapter_type": "light_adapter", "channels": [320,3]}`:              {"channels", "at least 4"},
	} {
		_, err := adapter.LoadT2I(e, fstest.MapFS{"config.json": {Data: []byte(config)}})
		modeltest.Says(t, err, append(want, "adapter: ", "config.json")...)
	}
	_, err := adapter.LoadT2I(e, fstest.MapFS{})
	modeltest.Says(t, err, "adapter: ", "config.json")
	_, err = adapter.LoadT2I(e, fstest.MapFS{"config.json": {Data: []byte("{}")}})
	modeltest.Says(t, err, "adapter: ", checkpoint)

	fsys := t2i(t, 1, small)
	fsys["config.json"] = &fstest.MapFile{Data: []byte(strings.Replace(small, "[8, 16]", "[8, 12]", 1))}
	_, err = adapter.LoadT2I(e, fsys)
	modeltest.Says(t, err, "adapter: adapter.body.1.in_conv.weight: shape [16 8 1 1], want [12 8 1 1]", "adapter.body.1.resnets.0.block2.bias: shape [16], want [12]")
	fsys["config.json"] = &fstest.MapFile{Data: []byte(strings.Replace(small, `"num_res_blocks": 1`, `"num_res_blocks": 2, "extra": 1`, 1))}
	_, err = adapter.LoadT2I(e, fsys)
	modeltest.Says(t, err, "adapter: adapter.body.0.resnets.1.block1.weight: missing, want [8 8 3 3]")
	fsys["config.json"] = &fstest.MapFile{Data: []byte(strings.Replace(small, `"num_res_blocks": 1`, `"num_res_blocks": 0, "extra": 1`, 1))}
	a := loadT2I(t, e, fsys)
	if !slices.Equal(a.Unknown, []string{"extra"}) || len(a.Unused) != 8 || !strings.HasPrefix(a.Unused[0], "adapter.body.0.resnets.0.block1.bias") {
		t.Errorf("unknown %q, unused %q", a.Unknown, a.Unused)
	}
}
