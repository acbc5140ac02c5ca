package vae_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/vae"
)

// run encodes images and decodes latents.
func run(t testing.TB, m vae.Autoencoder, x, z tensor.NHWC) (vae.Moments, tensor.NHWC) {
	t.Helper()
	enc, err := m.Encoder(x.N, x.H, x.W)
	if err != nil {
		t.Fatal(err)
	}
	moments := enc.Moments()
	if err := enc.Encode(t.Context(), moments, x); err != nil {
		t.Fatal(err)
	}
	dec, err := m.Decoder(z.N, z.H, z.W)
	if err != nil {
		t.Fatal(err)
	}
	images := dec.Images()
	if err := dec.Decode(t.Context(), images, z); err != nil {
		t.Fatal(err)
	}
	return moments, images
}

// near fails the test where float32 networks with sums of some hundred terms may not be; golden cases
// deviate by 3e-6.
func near(t *testing.T, what string, got tensor.NHWC, want picture) {
	t.Helper()
	if got.H != want.h || got.W != want.w || got.C != want.c {
		t.Errorf("%s: %s, want %d×%d×%d", what, got.Shape(), want.h, want.w, want.c)
		return
	}
	kerneltest.Near(t, what, kerneltest.Values(got.Tokens()), want.v, func(i int) float64 { return 2e-5 * max(1, math.Abs(want.v[i])) })
}

func TestModel(t *testing.T) {
	const attnDown, attnUp = "AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D"
	for name, c := range map[string]struct {
		keys keys
		act  string
		h, w int // of the image
	}{
		"small":         {kl, "silu", 6, 10},
		"odd size":      {kl, "silu", 7, 5},
		"no attention":  {kl.with(keys{"mid_block_add_attention": false}), "silu", 4, 4},
		"no quant":      {kl.with(keys{"use_quant_conv": false, "use_post_quant_conv": false}), "silu", 4, 4},
		"layers, mish":  {kl.with(keys{"layers_per_block": 2, "act_fn": "mish", "norm_num_groups": 2}), "mish", 4, 6},
		"channels":      {kl.with(keys{"in_channels": 4, "out_channels": 1, "latent_channels": 5, "act_fn": "relu"}), "relu", 4, 6},
		"one level":     {keys{"block_out_channels": []int{8}, "norm_num_groups": 8}, "silu", 3, 5},
		"attention":     {kl.with(keys{"down_block_types": []string{"DownEncoderBlock2D", attnDown}, "up_block_types": []string{attnUp, "UpDecoderBlock2D"}}), "silu", 6, 4},
		"all attention": {kl.with(keys{"down_block_types": []string{attnDown, attnDown}, "up_block_types": []string{attnUp, attnUp}}), "silu", 4, 4},
		"three levels": {kl.with(keys{"block_out_channels": []int{8, 4, 16}, "down_block_types": []string{"DownEncoderBlock2D", attnDown, "DownEncoderBlock2D"},
			"up_block_types": []string{"UpDecoderBlock2D", "UpDecoderBlock2D", attnUp}}), "silu", 11, 6},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := files(t, c.keys)
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				m, err := vae.Load(kerneltest.Engine(t, set, 2), fsys)
				if err != nil {
					t.Fatal(err)
				}
				r := &reference{weights: modeltest.Read(fsys, checkpoint), act: c.act, groups: m.Config.Groups}
				x, z := random(1, 2, c.h, c.w, m.Config.InChannels), random(2, 2, 3, 2, m.Config.LatentChannels)
				moments, images := run(t, m, x, z)
				for i := range 2 {
					want := r.encode(pictureOf(x, i))
					n := m.Config.LatentChannels
					near(t, "mean", moments.Mean.Images(i, i+1), want.channels(0, n))
					near(t, "log of variance", moments.LogVar.Images(i, i+1), want.channels(n, 2*n))
					near(t, "image", images.Images(i, i+1), r.decode(pictureOf(z, i)))
				}
				if images.H != 3*m.Config.Factor || images.W != 2*m.Config.Factor {
					t.Errorf("%s of 3×2 latents with factor %d", images.Shape(), m.Config.Factor)
				}
			})
		})
	}
}

// channels cuts channels out.
func (x picture) channels(from, to int) picture {
	y := picture{h: x.h, w: x.w, c: to - from}
	for p := 0; p < len(x.v); p += x.c {
		y.v = append(y.v, x.v[p+from:p+to]...)
	}
	return y
}

func TestTiny(t *testing.T) {
	for name, c := range map[string]struct {
		keys keys
		act  string
		h, w int // of the image
	}{
		"small":       {tiny, "relu", 6, 4},
		"odd size":    {tiny, "relu", 5, 7},
		"one pixel":   {tiny, "relu", 1, 1},
		"silu":        {tiny.with(keys{"act_fn": "silu", "latent_magnitude": 2, "latent_shift": 0.25}), "silu", 4, 4},
		"channels":    {tiny.with(keys{"in_channels": 1, "out_channels": 4, "latent_channels": 16, "act_fn": "gelu"}), "gelu", 4, 4},
		"factor 3":    {tiny.with(keys{"upsampling_scaling_factor": 3, "upsample_fn": "nearest-exact"}), "relu", 4, 4},
		"bilinear":    {tiny.with(keys{"upsample_fn": "bilinear"}), "relu", 4, 4},
		"bicubic":     {tiny.with(keys{"upsample_fn": "bicubic", "upsampling_scaling_factor": 3}), "relu", 4, 4},
		"factor 1":    {tiny.with(keys{"upsampling_scaling_factor": 1}), "relu", 4, 4},
		"no blocks":   {tiny.with(keys{"num_encoder_blocks": []int{0, 1}, "num_decoder_blocks": []int{0, 0}}), "relu", 4, 4},
		"other sizes": {tiny.with(keys{"encoder_block_out_channels": []int{4, 4, 4}, "num_encoder_blocks": []int{1, 1, 1}}), "relu", 9, 6},
		"one stage": {tiny.with(keys{"encoder_block_out_channels": []int{4}, "num_encoder_blocks": []int{1},
			"decoder_block_out_channels": []int{4}, "num_decoder_blocks": []int{1}}), "relu", 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := files(t, c.keys)
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				m, err := vae.LoadTiny(kerneltest.Engine(t, set, 2), fsys)
				if err != nil {
					t.Fatal(err)
				}
				r := &reference{weights: modeltest.Read(fsys, checkpoint), act: c.act}
				enlarged := func(x picture) picture {
					k := m.Config.Upsampling
					kernel := map[vae.Interpolation]func(float64) float64{vae.Bilinear: ref.Triangle, vae.Bicubic: ref.Cubic}[m.Config.Interpolation]
					if kernel == nil {
						return x.enlarged(k)
					}
					return picture{k * x.h, k * x.w, x.c, ref.Interpolate(1, x.h, x.w, x.c, k*x.h, k*x.w, x.v, kernel)}
				}
				x, z := random(1, 2, c.h, c.w, m.Config.InChannels), random(2, 2, 3, 2, m.Config.LatentChannels)
				moments, images := run(t, m, x, z)
				if moments.LogVar.Data != nil {
					t.Error("variances")
				}
				for i := range 2 {
					near(t, "latents", moments.Mean.Images(i, i+1), r.encodeTiny(pictureOf(x, i), m.Config.EncoderBlocks))
					near(t, "image", images.Images(i, i+1), r.decodeTiny(pictureOf(z, i), m.Config.DecoderBlocks, enlarged))
				}
				if images.H != 3*m.Config.Factor || images.W != 2*m.Config.Factor {
					t.Errorf("%s of 3×2 latents with factor %d", images.Shape(), m.Config.Factor)
				}
			})
		})
	}
}

// A batch is its images alone, any number of workers is one, and the assembly Sets are each other,
// bit for bit.
func TestSameBits(t *testing.T) {
	for name, k := range map[string]keys{"kl": kl, "tiny": tiny} {
		t.Run(name, func(t *testing.T) {
			fsys := files(t, k)
			var first []float32 // of the best Set
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				h, w := 33, 26
				if set.ISA == kernels.Generic {
					h, w = 9, 8 // it is slow
				}
				var alone []float32 // both images, one by one, on one worker
				results := func(m vae.Autoencoder, x, z tensor.NHWC) []float32 {
					moments, images := run(t, m, x, z)
					var all []float32
					for i := range x.N {
						all = append(all, moments.Mean.Images(i, i+1).Data...)
						if moments.LogVar.Data != nil {
							all = append(all, moments.LogVar.Images(i, i+1).Data...)
						}
						all = append(all, images.Images(i, i+1).Data...)
					}
					return all
				}
				for _, workers := range []int{1, 2, 7} {
					m := open(t, kerneltest.Engine(t, set, workers), fsys)
					x, z := random(1, 2, h, w, 3), random(2, 2, h/2, w/2, 4)
					if workers == 1 {
						for i := range 2 {
							alone = append(alone, results(m, x.Images(i, i+1), z.Images(i, i+1))...)
						}
					}
					kerneltest.Same(t, kerneltest.Name("workers", workers), results(m, x, z), alone)
				}
				switch {
				case set.ISA == kernels.Generic: // rounds twice at times
				case first == nil:
					first = alone
				default:
					kerneltest.Same(t, "another Set's output", alone, first)
				}
			})
		})
	}
}

func TestDoesNotAllocate(t *testing.T) {
	for name, k := range map[string]keys{"kl": kl, "tiny": tiny} {
		fsys := files(t, k)
		for _, workers := range []int{1, 2} {
			m := open(t, kerneltest.Engine(t, kernels.Available()[0], workers), fsys)
			enc, err := m.Encoder(2, 8, 6)
			if err != nil {
				t.Fatal(err)
			}
			dec, err := m.Decoder(2, 4, 3)
			if err != nil {
				t.Fatal(err)
			}
			moments, images := enc.Moments(), dec.Images()
			ctx, cancel := context.WithCancel(t.Context())
			kerneltest.NoAllocations(t, kerneltest.Name("model", name, "workers", workers), func() {
				if err := errors.Join(enc.Encode(ctx, moments, images), dec.Decode(ctx, images, moments.Mean)); err != nil {
					t.Fatal(err)
				}
			})
			cancel()
		}
	}
}

func TestStopsWithinOneOp(t *testing.T) {
	m := open(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, kl))
	enc, err := m.Encoder(1, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := m.Decoder(1, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	moments, images := enc.Moments(), dec.Images()
	x, z := random(1, 1, 4, 4, 3), random(2, 1, 2, 2, 4)
	modeltest.StopsWithinOneOp(t, enc.Program(), func(ctx context.Context) error { return enc.Encode(ctx, moments, x) }, moments.Mean, moments.LogVar)
	modeltest.StopsWithinOneOp(t, dec.Program(), func(ctx context.Context) error { return dec.Decode(ctx, images, z) }, images)
	modeltest.OneUser(t, enc.Program(), func() error { return enc.Encode(t.Context(), moments, x) })
	modeltest.OneUser(t, dec.Program(), func() error { return dec.Decode(t.Context(), images, z) })
}

func TestSessionErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	model, small := open(t, e, files(t, kl)), open(t, e, files(t, tiny))
	_, tooLow := model.Encoder(1, 1, 9)
	_, none := model.Encoder(0, 8, 8)
	_, huge := small.Encoder(1<<20, 1<<10, 1<<10)
	_, flat := model.Decoder(1, 0, 8)
	_, wide := small.Decoder(1, 1<<13, 1<<12)
	enc, err := model.Encoder(2, 4, 6)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := model.Decoder(2, 4, 6)
	if err != nil {
		t.Fatal(err)
	}
	tinyEnc, err := small.Encoder(1, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	ctx, moments := t.Context(), enc.Moments()
	variances := tinyEnc.Moments()
	variances.LogVar = tensor.Make(1, 2, 2, 4)
	for _, c := range []struct {
		err  error
		want string
	}{
		{tooLow, "vae: images of 1×9 are too small, want at least 2×2"},
		{none, "vae: 0 images of 8×8"},
		{huge, "vae: 1048576 images of 1024×1024"},
		{flat, "vae: 1 latents of 0×8"},
		{wide, "vae: 1 latents of 8192×4096, want at least 1 pixel and at most 16777216 in all"},
		{enc.Encode(ctx, moments, random(1, 1, 4, 6, 3)), "vae: images are 1×4×6×3, want 2×4×6×3"},
		{enc.Encode(ctx, vae.Moments{Mean: moments.Mean}, random(1, 2, 4, 6, 3)), "vae: logarithms of variances are 0×0×0×0, want 2×2×3×4"},
		{enc.Encode(ctx, vae.Moments{LogVar: moments.Mean}, random(1, 2, 4, 6, 3)), "vae: means are 0×0×0×0, want 2×2×3×4"},
		{dec.Decode(ctx, dec.Images(), random(1, 2, 4, 6, 3)), "vae: latents are 2×4×6×3, want 2×4×6×4"},
		{dec.Decode(ctx, random(1, 2, 4, 6, 3), random(1, 2, 4, 6, 4)), "vae: images are 2×4×6×3, want 2×8×12×3"},
		{tinyEnc.Encode(ctx, variances, random(1, 1, 4, 4, 3)), "vae: there are no variances to encode"},
	} {
		if c.err == nil || !strings.HasPrefix(c.err.Error(), c.want) {
			t.Errorf("%v, want %q", c.err, c.want)
		}
	}
}
