package unet_test

import (
	"encoding/json"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// diffusers is a config.json with the keys that tests vary, every list written out.
type diffusers struct {
	InChannels        int      `json:"in_channels"`
	OutChannels       int      `json:"out_channels"`
	Channels          []int    `json:"block_out_channels"`
	Down              []string `json:"down_block_types"`
	Mid               any      `json:"mid_block_type"`
	Up                []string `json:"up_block_types"`
	Layers            []int    `json:"layers_per_block"`
	Transformers      []int    `json:"transformer_layers_per_block"`
	Heads             []int    `json:"attention_head_dim"`
	OnlyCross         []bool   `json:"only_cross_attention"`
	ContextDim        int      `json:"cross_attention_dim"`
	Linear            bool     `json:"use_linear_projection"`
	Act               string   `json:"act_fn"`
	Groups            int      `json:"norm_num_groups"`
	Eps               float64  `json:"norm_eps"`
	TimeScaleShift    string   `json:"resnet_time_scale_shift"`
	DownsamplePadding int      `json:"downsample_padding"`
	FlipSinToCos      bool     `json:"flip_sin_to_cos"`
	FreqShift         float64  `json:"freq_shift"`
	TimeDim           any      `json:"time_embedding_dim"`
	TimeAct           any      `json:"time_embedding_act_fn"`
	TimePostAct       any      `json:"timestep_post_act"`
	Classes           any      `json:"num_class_embeds"`
	Center            bool     `json:"center_input_sample"`
	ConvIn            int      `json:"conv_in_kernel"`
	ConvOut           int      `json:"conv_out_kernel"`
	Addition          string   `json:"addition_embed_type,omitempty"`
	AdditionHeads     int      `json:"addition_embed_type_num_heads,omitempty"`
	SizeDim           int      `json:"addition_time_embed_dim,omitempty"`
	ProjectionDim     int      `json:"projection_class_embeddings_input_dim,omitempty"`
	EncoderDim        int      `json:"encoder_hid_dim,omitempty"`
	EncoderType       string   `json:"encoder_hid_dim_type,omitempty"`
	ClassType         string   `json:"class_embed_type,omitempty"`
	ClassConcat       bool     `json:"class_embeddings_concat,omitempty"`
	GuidanceDim       int      `json:"time_cond_proj_dim,omitempty"`
}

const (
	down, crossDown = "DownBlock2D", "CrossAttnDownBlock2D"
	up, crossUp     = "UpBlock2D", "CrossAttnUpBlock2D"
	crossMid        = "UNetMidBlock2DCrossAttn"
)

// small is Stable Diffusion's layout with two levels.
func small() diffusers {
	return diffusers{
		InChannels: 4, OutChannels: 4, Channels: []int{8, 16},
		Down: []string{crossDown, down}, Mid: crossMid, Up: []string{up, crossUp},
		Layers: []int{1, 1}, Transformers: []int{1, 1}, Heads: []int{2, 4}, OnlyCross: []bool{false, false}, ContextDim: 12,
		Act: "silu", Groups: 4, Eps: 1e-5, TimeScaleShift: "default", DownsamplePadding: 1,
		FlipSinToCos: true, ConvIn: 3, ConvOut: 3,
	}
}

// varied has three levels, classes and most of what small does without.
func varied() diffusers {
	c := small()
	c.InChannels, c.OutChannels = 5, 3
	c.Channels, c.Heads, c.OnlyCross = []int{32, 32, 48}, []int{4, 2, 6}, []bool{false, false, false}
	c.Down, c.Up = []string{down, crossDown, crossDown}, []string{crossUp, crossUp, up}
	c.Layers, c.Transformers = []int{1, 2, 1}, []int{1, 1, 2}
	c.Linear, c.TimeScaleShift, c.Classes = true, "scale_shift", 7
	return c
}

const checkpoint = "diffusion_pytorch_model"

// files writes a model directory.
func files(t testing.TB, c any, weights map[string]modeltest.Tensor) fstest.MapFS {
	t.Helper()
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"config.json": {Data: text}, checkpoint + ".safetensors": {Data: modeltest.Safetensors(weights)}}
}

// randomWeights makes a tensor of every name that a configuration asks for.
func randomWeights(t testing.TB, c diffusers, seed uint64) map[string]modeltest.Tensor {
	t.Helper()
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	text := string(files(t, c, nil)["config.json"].Data)
	return modeltest.Read(modeltest.Files(text, checkpoint, seed, func(fsys fs.FS) error {
		_, err := unet.Load(e, fsys)
		return err
	}), checkpoint)
}

// randomModel writes the directory of a model with random weights.
func randomModel(t testing.TB, c diffusers) fs.FS { return files(t, c, randomWeights(t, c, 1)) }

func loadModel(t testing.TB, e *engine.Engine, fsys fs.FS) *unet.Model {
	t.Helper()
	m, err := unet.Load(e, fsys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bind makes a session and binds it.
func bind(t testing.TB, m *unet.Model, batch, h, w int, conds ...cond.Cond) *unet.Bound {
	t.Helper()
	s, err := m.Session(batch, h, w)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind(conds...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// randomImages returns n images with values from the standard normal distribution.
func randomImages(seed uint64, n, h, w, c int) tensor.NHWC {
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: kerneltest.Random(seed, n*h*w*c)}
}

// randomCond returns a condition that fits m, with everything that there is a place for.
func randomCond(seed uint64, m *unet.Model, tokens int) cond.Cond {
	var c cond.Cond
	if dim := m.Config.ContextDim; m.Config.Attends() && dim > 0 {
		c = cond.Text(randomMat(seed, tokens, dim))
	}
	switch m.Config.ClassKind {
	case unet.NoClass:
	case unet.ClassTable:
		c.Class = int(seed) % m.Config.Classes
	case unet.ClassTime:
		c.Class = int(seed)
	default:
		c.Vector = kerneltest.Random(seed+1, m.Config.VectorDim)
	}
	pooled := m.Config.PooledDim
	if m.Config.PooledKind == unet.PooledSizes {
		c.Sizes = []float64{512, 2.5}
		pooled -= len(c.Sizes) * m.Config.SizeDim
	}
	if pooled > 0 {
		c.Pooled = kerneltest.Random(seed+2, pooled)
	}
	if m.Config.GuidanceDim > 0 {
		c.Guidance = kerneltest.Random(seed+3, m.Config.GuidanceDim)
	}
	return c
}

// forward runs b on x at times and returns the output.
func forward(t testing.TB, b *unet.Bound, x tensor.NHWC, outChannels int, times ...float64) tensor.NHWC {
	t.Helper()
	out := tensor.Make(len(times), x.H, x.W, outChannels)
	kerneltest.Fill(out.Data)
	if err := b.ForwardEach(t.Context(), out, x, times); err != nil {
		t.Fatal(err)
	}
	return out
}

// oneFile is a directory with one file.
func oneFile(name string, data []byte) fs.FS { return fstest.MapFS{name: {Data: data}} }
