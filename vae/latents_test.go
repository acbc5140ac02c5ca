package vae_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/vae"
)

func TestScale(t *testing.T) {
	for name, c := range map[string]struct {
		l    vae.Latents
		want func(v float64, c int) float64
	}{
		"scale": {vae.Latents{LatentChannels: 2, ScalingFactor: 0.18215}, func(v float64, _ int) float64 { return v * 0.18215 }},
		"shift": {vae.Latents{LatentChannels: 2, ScalingFactor: 1.5, ShiftFactor: 0.25}, func(v float64, _ int) float64 { return (v - 0.25) * 1.5 }},
		"channels": {vae.Latents{LatentChannels: 2, ScalingFactor: 0.5, ShiftFactor: 9, Means: []float64{1, -2}, Stds: []float64{2, 8}},
			func(v float64, c int) float64 {
				return (v - []float64{1, -2}[c]) * 0.5 / []float64{2, 8}[c]
			}},
		"means alone": {vae.Latents{LatentChannels: 2, ScalingFactor: 2, Means: []float64{1, -2}}, func(v float64, _ int) float64 { return v * 2 }},
	} {
		wide := random(1, 2, 3, 2, 5)
		before := make([]float32, len(wide.Data))
		copy(before, wide.Data)
		z := wide.Channels(1, 3) // with values of others between pixels
		c.l.Scale(z)
		m := z.Tokens()
		for r := range m.Rows {
			for ch, v := range m.Row(r) {
				if want := c.want(float64(before[r*5+1+ch]), ch); math.Abs(float64(v)-want) > 1e-6 {
					t.Fatalf("%s: pixel %d, channel %d: %v, want %v", name, r, ch, v, want)
				}
			}
		}
		c.l.Unscale(z)
		for i, v := range wide.Data {
			if math.Abs(float64(v-before[i])) > 1e-6 {
				t.Fatalf("%s: value %d comes back as %v, want %v", name, i, v, before[i])
			}
		}
	}
	defer func() {
		if r := recover(); r != "vae: latents 1×1×1×3, want 2 channels" {
			t.Errorf("panic %v", r)
		}
	}()
	l := vae.Latents{LatentChannels: 2}
	l.Scale(tensor.Make(1, 1, 1, 3))
}

func TestUnit(t *testing.T) {
	c := vae.TinyConfig{Latents: vae.Latents{LatentChannels: 2}, Magnitude: 2, Shift: 0.25}
	z := tensor.NHWC{N: 1, H: 1, W: 3, C: 2, Stride: 2, Data: []float32{0, 1, -1, 3, -1.5, 5}}
	c.Unit(z)
	kerneltest.Same(t, "unit", z.Data, []float32{0.25, 0.5, 0, 1, 0, 1})
	c.FromUnit(z)
	kerneltest.Same(t, "back", z.Data, []float32{0, 1, -1, 3, -1, 3})
}

func TestMoments(t *testing.T) {
	shape := func(data ...float32) tensor.NHWC {
		return tensor.NHWC{N: 1, H: 1, W: len(data), C: 1, Stride: 1, Data: data}
	}
	m := vae.Moments{Mean: shape(1, 2, 3, -4), LogVar: shape(0, -30, float32(2*math.Ln2), 20)}
	want := []float64{1, math.Exp(-15), 2, math.Exp(10)}
	got := shape(9, 9, 9, 9)
	m.Std(got)
	kerneltest.Near(t, "std", got.Data, want, func(i int) float64 { return 1e-7 * want[i] })

	noise := shape(0.5, 3, -1, 1)
	for i, std := range want {
		want[i] = float64(m.Mean.Data[i]) + std*float64(noise.Data[i])
	}
	m.Sample(noise, noise) // in place
	kerneltest.Near(t, "sample", noise.Data, want, func(i int) float64 { return 2e-7 * math.Abs(want[i]) })

	m.LogVar = tensor.NHWC{}
	m.Sample(noise, shape(1, 2, 3, 4))
	kerneltest.Same(t, "sample without variance", noise.Data, m.Mean.Data)
	m.Std(noise)
	kerneltest.Same(t, "std without variance", noise.Data, make([]float32, 4))
	defer func() {
		if recover() == nil {
			t.Error("no panic from noise of another shape")
		}
	}()
	m.Sample(got, shape(1, 2, 3))
}

// Logarithms of variances are cut to what diffusers allows.
func TestLogVarIsCut(t *testing.T) {
	fsys := files(t, kl)
	weights := modeltest.Read(fsys, checkpoint)
	const bias = "quant_conv.bias"
	weights[bias] = modeltest.Tensor{Shape: []int{8}, Data: []float32{50, -50, 50, -50, 50, -50, 0, 0}}
	write(fsys, weights)
	m := open(t, kerneltest.Engine(t, kernels.Available()[0], 1), fsys)
	moments, _ := run(t, m, random(1, 1, 4, 4, 3), random(2, 1, 2, 2, 4))
	logs := moments.LogVar.Tokens()
	for r := range logs.Rows {
		if row := logs.Row(r); row[0] != 20 || row[1] != -30 || math.Abs(float64(row[2])) > 19 {
			t.Errorf("pixel %d: %v, want 20, -30, and others near 0", r, row)
		}
		if mean := moments.Mean.Tokens().Row(r); mean[0] < 30 || mean[1] > -30 {
			t.Errorf("pixel %d: means %v, want some beyond ±30", r, mean)
		}
	}
}
