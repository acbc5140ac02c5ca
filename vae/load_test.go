package vae_test

import (
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/vae"
)

// write replaces a model's weights.
func write(fsys fstest.MapFS, weights map[string]modeltest.Tensor) {
	fsys[checkpoint+".safetensors"] = &fstest.MapFile{Data: modeltest.Safetensors(weights)}
}

// legacy is what old files call the layers of an attention.
var legacy = strings.NewReplacer(".to_q.", ".query.", ".to_k.", ".key.", ".to_v.", ".value.", ".to_out.0.", ".proj_attn.")

// Old names and old shapes of attention mean the same weights.
func TestLoadLegacy(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	fsys := files(t, kl.with(keys{"down_block_types": []string{"DownEncoderBlock2D", "AttnDownEncoderBlock2D"}}))
	x, z := random(1, 1, 6, 4, 3), random(2, 1, 2, 3, 4)
	moments, images := run(t, open(t, e, fsys), x, z)
	weights := modeltest.Read(fsys, checkpoint)
	for name, change := range map[string]func(name string, w modeltest.Tensor) (string, modeltest.Tensor){
		"names": func(name string, w modeltest.Tensor) (string, modeltest.Tensor) { return legacy.Replace(name), w },
		"convolutions": func(name string, w modeltest.Tensor) (string, modeltest.Tensor) {
			if strings.Contains(name, ".attentions.") && len(w.Shape) == 2 {
				w.Shape = append(slices.Clone(w.Shape), 1, 1)
			}
			return legacy.Replace(name), w
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := map[string]modeltest.Tensor{}
			for name, w := range weights {
				name, w = change(name, w)
				old[name] = w
			}
			write(fsys, old)
			m, err := vae.Load(e, fsys)
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Unused) > 0 {
				t.Errorf("unused %q", m.Unused)
			}
			gotMoments, gotImages := run(t, m, x, z)
			kerneltest.Same(t, "mean", gotMoments.Mean.Data, moments.Mean.Data)
			kerneltest.Same(t, "image", gotImages.Data, images.Data)
		})
	}
}

func TestOpen(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	k, ok := open(t, e, files(t, kl)).(*vae.Model)
	if !ok || k.Space().Factor != 2 || k.Space().ScalingFactor != 0.18215 || k.Bytes == 0 {
		t.Errorf("an AutoencoderKL is %+v", k)
	}
	s, ok := open(t, e, files(t, tiny)).(*vae.Tiny)
	if !ok || s.Space().Factor != 2 || s.Space().ScalingFactor != 1 || s.Bytes == 0 {
		t.Errorf("an AutoencoderTiny is %+v", s)
	}
	for _, c := range []struct{ config, want string }{
		{`{"_class_name": "VQModel"}`, "_class_name is \"VQModel\", supported: \"AutoencoderKL\" or \"AutoencoderTiny\""},
		{`{"_class_name": "AutoencoderTiny", "num_encoder_blocks": []}`, "num_encoder_blocks"},
		{`{"norm_num_groups": 5}`, "norm_num_groups"},
		{`[]`, "config.json"},
	} {
		m, err := vae.Open(e, fstest.MapFS{"config.json": {Data: []byte(c.config)}})
		if m != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", c.config, m, err, c.want)
		}
	}
	for name, load := range map[string]func(fs.FS) error{
		"Open":     func(f fs.FS) error { _, err := vae.Open(e, f); return err },
		"Load":     func(f fs.FS) error { _, err := vae.Load(e, f); return err },
		"LoadTiny": func(f fs.FS) error { _, err := vae.LoadTiny(e, f); return err },
	} {
		fsys := files(t, kl)
		if name == "LoadTiny" {
			fsys = files(t, tiny)
		}
		delete(fsys, checkpoint+".safetensors")
		if err := load(fsys); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s without weights: %v", name, err)
		}
		if err := load(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s without files: %v", name, err)
		}
	}
	if _, err := vae.Load(e, files(t, tiny)); err == nil || !strings.Contains(err.Error(), "_class_name") {
		t.Errorf("Load of an AutoencoderTiny: %v", err)
	}
	if _, err := vae.LoadTiny(e, files(t, kl)); err == nil || !strings.Contains(err.Error(), "_class_name") {
		t.Errorf("LoadTiny of an AutoencoderKL: %v", err)
	}
}

// The blocks of a decoder are listed from the smallest image up, those of an encoder from the largest down.
func TestAttentionLevels(t *testing.T) {
	weights := modeltest.Read(files(t, kl.with(keys{
		"down_block_types": []string{"AttnDownEncoderBlock2D", "DownEncoderBlock2D"},
		"up_block_types":   []string{"AttnUpDecoderBlock2D", "UpDecoderBlock2D"},
	})), checkpoint)
	for block, want := range map[string]bool{"encoder.down_blocks.0": true, "encoder.down_blocks.1": false, "decoder.up_blocks.0": true, "decoder.up_blocks.1": false} {
		if _, has := weights[block+".attentions.0.to_q.weight"]; has != want {
			t.Errorf("%s has an attention: %v", block, has)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for _, c := range []struct {
		change keys
		want   string
	}{
		{keys{"act_fn": "snake"}, "act_fn"},
		{keys{"norm_num_groups": 8}, "norm_num_groups is 8, supported: a divisor of the block_out_channels, [8 12]"},
		{keys{"down_block_types": []string{"DownBlock2D", "DownEncoderBlock2D"}}, "down_block_types"},
		{keys{"up_block_types": []string{"UpDecoderBlock2D", "UpBlock2D"}}, "up_block_types"},
		{keys{"down_block_types": []string{"DownEncoderBlock2D"}}, "down_block_types is [\"DownEncoderBlock2D\"], supported: a list of 2"},
		{keys{"up_block_types": []string{"UpDecoderBlock2D"}}, "up_block_types"},
		{keys{"block_out_channels": slices.Repeat([]int{8}, 13)}, "at most 12 levels"},
		{keys{"latent_channels": 0}, "latent_channels"},
		{keys{"scaling_factor": 0}, "scaling_factor"},
		{keys{"shift_factor": "half"}, "shift_factor"},
		{keys{"latents_mean": []float64{1, 2}}, "latents_mean is [1,2], supported: a number for each of 4 latent_channels"},
		{keys{"latents_std": []float64{1, 2, 0, 1}}, "latents_std"},
		{keys{"layers_per_block": []int{1, 2}}, "layers_per_block"},
		{keys{"layers_per_block": 1 << 24}, "layers_per_block is 16777216, supported: a number of layers from 1 to 1024"},
	} {
		checkConfig(t, func(f fs.FS) error { _, err := vae.Load(e, f); return err }, kl.with(c.change), c.want)
	}
	for _, c := range []struct {
		change keys
		want   string
	}{
		{keys{"act_fn": "snake"}, "act_fn"},
		{keys{"encoder_block_out_channels": []int{8, 12}}, "encoder_block_out_channels is [8,12], supported: a list of 2, as num_encoder_blocks, all the same"},
		{keys{"decoder_block_out_channels": []int{8}}, "decoder_block_out_channels"},
		{keys{"num_encoder_blocks": []float64{1, 1.5}}, "num_encoder_blocks"},
		{keys{"num_decoder_blocks": []int{1, -1}}, "num_decoder_blocks"},
		{keys{"upsample_fn": "trilinear"}, "upsample_fn is \"trilinear\", supported: \"nearest\""},
		{keys{"upsampling_scaling_factor": 5000}, "upsampling_scaling_factor"},
		{keys{"latent_magnitude": 0}, "latent_magnitude"},
		{keys{"scaling_factor": 0}, "scaling_factor"},
	} {
		checkConfig(t, func(f fs.FS) error { _, err := vae.LoadTiny(e, f); return err }, tiny.with(c.change), c.want)
	}
}

// checkConfig fails the test unless an error about a config.json says what it should.
func checkConfig(t *testing.T, load func(fs.FS) error, k keys, want string) {
	t.Helper()
	fsys := fstest.MapFS{"config.json": {Data: k.json(t)}}
	if err := load(fsys); err == nil || !errors.Is(err, errors.ErrUnsupported) || !strings.HasPrefix(err.Error(), "vae: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestWeightErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	const bias, conv = "encoder.mid_block.resnets.1.conv2.bias", "decoder.up_blocks.1.resnets.0.conv_shortcut.weight"
	for _, c := range []struct {
		name   string
		change func(weights map[string]modeltest.Tensor)
		want   []string
	}{
		{"missing", func(w map[string]modeltest.Tensor) {
			w["encoder.mid_block.resnets.1.conv2.offset"] = w[bias]
			delete(w, bias)
		}, []string{"vae: " + bias + ": missing, want [12]", "not used: encoder.mid_block.resnets.1.conv2.offset [12]"}},
		{"shape", func(w map[string]modeltest.Tensor) { w[conv] = modeltest.Random(conv, 1, 8, 12) }, []string{conv, "shape [8 12], want [8 12 1 1]"}},
		{"squeezed elsewhere", func(w map[string]modeltest.Tensor) { w[bias] = modeltest.Random(bias, 1, 12, 1) }, []string{bias, "shape [12 1], want [12]"}},
		{"not finite", func(w map[string]modeltest.Tensor) { w[bias].Data[3] = float32(math.NaN()) }, []string{bias, "value 3 is NaN"}},
		{"quant", func(w map[string]modeltest.Tensor) { delete(w, "quant_conv.weight") }, []string{"quant_conv.weight: missing, want [8 8 1 1]"}},
	} {
		fsys := files(t, kl)
		weights := modeltest.Read(fsys, checkpoint)
		c.change(weights)
		write(fsys, weights)
		_, err := vae.Load(e, fsys)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	}
	fsys := files(t, tiny)
	weights := modeltest.Read(fsys, checkpoint)
	delete(weights, "decoder.layers.5.weight")
	write(fsys, weights)
	if _, err := vae.LoadTiny(e, fsys); err == nil || !strings.Contains(err.Error(), "vae: decoder.layers.5.weight: missing, want [12 12 3 3]") {
		t.Errorf("AutoencoderTiny: %v", err)
	}
}

// What a directory has beyond the model is listed.
func TestUnused(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	fsys := files(t, kl.with(keys{"sample_size": 512, "force_upcast": true, "latents_mean": nil, "patch": 2}))
	weights := modeltest.Read(fsys, checkpoint)
	weights["loss.logvar"] = modeltest.Random("loss.logvar", 1, 1)
	write(fsys, weights)
	m, err := vae.Load(e, fsys)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Unused, []string{"loss.logvar [1]"}) || !slices.Equal(m.Unknown, []string{"patch"}) {
		t.Errorf("unused %q, unknown %q", m.Unused, m.Unknown)
	}
}

// Weights of a half-width format take half the memory, and no image tells.
func TestHalfWidth(t *testing.T) {
	fsys := files(t, kl)
	weights := modeltest.Read(fsys, checkpoint)
	for _, w := range weights {
		kerneltest.Truncate(w.Data, kernels.BFloat16)
	}
	write(fsys, weights)
	x, z := random(1, 1, 6, 4, 3), random(2, 1, 2, 3, 4)
	var first tensor.NHWC
	var bytes []int
	for _, e := range storages(t) {
		m, err := vae.Load(e, fsys)
		if err != nil {
			t.Fatal(err)
		}
		_, images := run(t, m, x, z)
		if bytes = append(bytes, m.Bytes); len(bytes) == 1 {
			first = images
			continue
		}
		kerneltest.Same(t, "image", images.Data, first.Data)
	}
	if 2*bytes[0] != bytes[1] {
		t.Errorf("%d bytes, %d of float32", bytes[0], bytes[1])
	}
}
