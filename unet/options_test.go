package unet_test

import (
	"maps"
	"math"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// by is the options of a session whose convolutions are computed by an algorithm.
func by(a conv.Algorithm) unet.Options { return unet.Options{Conv: conv.Options{Algorithm: a}} }

// algorithms returns how each convolution of a session is computed, by name.
func algorithms(t *testing.T, s *unet.Session) map[string]string {
	t.Helper()
	s.Program().Measure(true)
	defer s.Program().Measure(false)
	all := make(map[string]string)
	for _, op := range s.Program().Profile() {
		if (op.Kind == "conv") != (op.How != "") {
			t.Errorf("%s of kind %s is computed by %q", op.Name, op.Kind, op.How)
		}
		if op.Kind == "conv" {
			all[op.Name] = op.How
		}
	}
	return all
}

// What a session chooses is shown by its profile, is the same for any batch, number of workers and
// instruction set, and another session of the model may choose otherwise.
func TestOptions(t *testing.T) {
	c := varied()
	fsys := randomModel(t, c)
	const first, strided, narrow = "down_blocks.1.resnets.1.conv1", "down_blocks.0.downsamplers.0.conv", "conv_in"
	tests := []struct {
		options []unet.Options
		want    map[string]string
	}{
		{nil, map[string]string{first: "winograd4", strided: "direct", narrow: "direct"}},
		{[]unet.Options{{}}, map[string]string{first: "winograd4"}},
		{[]unet.Options{{Conv: conv.Options{Memory: -1}}}, map[string]string{first: "winograd4-unstored"}},
		{[]unet.Options{{Conv: conv.Options{Accuracy: conv.Fine}}}, map[string]string{first: "winograd2", narrow: "direct"}},
		{[]unet.Options{by(conv.Direct)}, map[string]string{first: "direct", strided: "direct", narrow: "direct"}},
		{[]unet.Options{by(conv.Winograd6)}, map[string]string{first: "winograd6", strided: "direct", narrow: "winograd6"}},
	}
	same := make([]map[string]string, len(tests))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 3} {
			m := loadModel(t, kerneltest.Engine(t, set, workers), fsys)
			for i, test := range tests {
				for _, batch := range []int{1, 3} {
					s, err := m.Session(batch, 31, 28, test.options...)
					if err != nil {
						t.Fatal(err)
					}
					got := algorithms(t, s)
					if same[i] == nil {
						same[i] = got
					}
					if !maps.Equal(got, same[i]) {
						t.Errorf("%+v, %d workers, batch %d: %v, elsewhere %v", test.options, workers, batch, got, same[i])
					}
					for name, how := range test.want {
						if got[name] != how {
							t.Errorf("%+v: %s by %q, want %s", test.options, name, got[name], how)
						}
					}
				}
			}
		}
	})
}

func TestOptionsErrors(t *testing.T) {
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), randomModel(t, small()))
	for says, options := range map[string][]unet.Options{
		"unet: session: options given 2 times": {{}, {}},
		"unet: session: conv: algorithm 99":    {by(99)},
		"unet: session: conv: accuracy 7":      {{Conv: conv.Options{Accuracy: 7}}},
	} {
		_, err := m.Session(1, 8, 8, options...)
		modeltest.Says(t, err, says)
	}
}

// errorsOf are the rounding errors of a layer, as parts of the root mean square of its output, for up to
// 48 channels: those of conv.Accuracy and of bench/errors.
var errorsOf = map[conv.Algorithm]float64{
	conv.Direct: 4e-7, conv.Winograd2: 3e-7, conv.Winograd4: 8e-7, conv.Winograd6: 35e-7, conv.Phases: 4e-7, conv.PhasesWinograd: 8e-7,
}

// By every algorithm a U-Net makes what it makes by the direct one, but for the rounding errors of its
// layers. They are independent, so that their squares add up, and norms keep what is passed on at the size
// of what it is part of. There are the same bits for each image of a batch and any number of workers, and no
// allocations.
func TestAlgorithms(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		c, h, w := varied(), 24, 18 // of which one enlargement is to twice the size, one to less
		if set.ISA == kernels.Generic {
			c, h, w = small(), 8, 6 // it is slow
		}
		fsys := randomModel(t, c)
		one, three := loadModel(t, kerneltest.Engine(t, set, 1), fsys), loadModel(t, kerneltest.Engine(t, set, 3), fsys)
		conds := []cond.Cond{randomCond(2, one, 7), randomCond(3, one, 7)}
		x := randomImages(1, 2, h, w, c.InChannels)
		_, direct := session(t, one, 1, h, w, by(conv.Direct), conds[0])
		want := forward(t, direct, x.Images(0, 1), c.OutChannels, 981)
		for _, o := range []conv.Options{
			{Algorithm: conv.Winograd2}, {Algorithm: conv.Winograd4}, {Algorithm: conv.Winograd4, Memory: -1}, {Algorithm: conv.Winograd6},
			{Algorithm: conv.Phases}, {Algorithm: conv.PhasesWinograd}, {Algorithm: conv.PhasesWinograd, Memory: 64 << 10},
		} {
			what := kerneltest.Name("conv", o.Algorithm, "memory", o.Memory)
			s, alone := session(t, one, 1, h, w, unet.Options{Conv: o}, conds[0])
			got := forward(t, alone, x.Images(0, 1), c.OutChannels, 981)
			layers := float64(len(algorithms(t, s)))
			off := rms(got, want) / rms(want, tensor.Make(1, h, w, c.OutChannels))
			if bound := math.Sqrt(layers) * math.Hypot(errorsOf[o.Algorithm], errorsOf[conv.Direct]); !(off > 0 && off <= bound) {
				t.Errorf("%s: off by %.3g of the output, want above 0 and at most %.3g", what, off, bound)
			}

			_, both := session(t, three, 2, h, w, unet.Options{Conv: o}, conds...)
			y := forward(t, both, x, c.OutChannels, 981, 20.5)
			kerneltest.Same(t, what, y.Images(0, 1).Data, got.Data)
			ctx, out := t.Context(), tensor.Make(2, h, w, c.OutChannels)
			kerneltest.NoAllocations(t, what, func() {
				if err := both.Forward(ctx, out, x, 981); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// session makes and binds a session with options.
func session(t *testing.T, m *unet.Model, batch, h, w int, o unet.Options, conds ...cond.Cond) (*unet.Session, *unet.Bound) {
	t.Helper()
	s, err := m.Session(batch, h, w, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind(conds...)
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

// rms is the root of the mean square of differences.
func rms(x, y tensor.NHWC) float64 {
	sum := 0.0
	for i, v := range x.Data {
		d := float64(v) - float64(y.Data[i])
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(x.Data)))
}
