package clip

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/kernels"
)

// TextConfig is the shape of a text encoder: what transformers' CLIPTextConfig says of it.
type TextConfig struct {
	Vocabulary int         // ids are below it
	Positions  int         // tokens of the longest text
	Width      int         // of a state
	Inner      int         // width between the two layers of a feed-forward network
	Layers     int         // each an attention and a feed-forward network
	Heads      int         // they divide Width
	Projection int         // width of the embedding of a whole text; 0: the model makes none
	Act        kernels.Act // of the feed-forward networks
	Eps        float32     // of the layer norms
	End        int         // the id whose state stands for the text; see legacyEnd
}

// legacyEnd is what the files of the first CLIP models say their end token is. It is not: where End
// has this value, the largest id of a text counts as its end.
const legacyEnd = 2

// activations are transformers' names for the functions that there are kernels for.
var activations = map[string]kernels.Act{
	"quick_gelu":        kernels.QuickGELU,
	"gelu":              kernels.GELU,
	"gelu_python":       kernels.GELU,
	"gelu_new":          kernels.GELUTanh,
	"gelu_fast":         kernels.GELUTanh,
	"gelu_accurate":     kernels.GELUTanh,
	"gelu_pytorch_tanh": kernels.GELUTanh,
	"relu":              kernels.ReLU,
	"silu":              kernels.SiLU,
	"swish":             kernels.SiLU,
	"mish":              kernels.Mish,
	"tanh":              kernels.Tanh,
	"sigmoid":           kernels.Sigmoid,
	"linear":            kernels.Identity,
}

// readTextConfig reads the config.json of a CLIPTextModel or CLIPTextModelWithProjection.
func readTextConfig(c *config.Config) (TextConfig, error) {
	c.Only("model_type", "clip_text_model")
	m := TextConfig{
		Vocabulary: c.Size("vocab_size", 49408),
		Positions:  c.Size("max_position_embeddings", 77),
		Width:      c.Size("hidden_size", 512),
		Inner:      c.Size("intermediate_size", 2048),
		Layers:     c.Layers("num_hidden_layers", 12),
		Heads:      c.Size("num_attention_heads", 8),
		Projection: c.Size("projection_dim", 512),
		Eps:        float32(c.Float("layer_norm_eps", 1e-5)),
		End:        c.Int("eos_token_id", 49407),
	}
	if !projects(c, "CLIPTextModel") {
		m.Projection = 0
	}
	m.Act = readLayers(c, m.Width, m.Heads, m.Eps)
	c.Ignore(idleKeys...)
	return m, c.Err()
}

// idleKeys are keys of config.json without bearing on what is computed.
var idleKeys = []string{"attention_dropout", "dropout", "bos_token_id", "pad_token_id", "initializer_factor",
	"initializer_range", "torch_dtype", "dtype", "transformers_version"}

// projects reads whether the model is of the class that projects, not of the plain one.
func projects(c *config.Config, plain string) bool {
	projecting := plain + "WithProjection"
	classes := c.Strings("architectures", []string{plain}, plain, projecting)
	if len(classes) != 1 {
		c.Fail("architectures", "one class")
	}
	return classes[0] == projecting
}

// readLayers checks what layers are made of, and reads their activation.
func readLayers(c *config.Config, width, heads int, eps float32) kernels.Act {
	if width%heads != 0 {
		c.Fail("num_attention_heads", "a divisor of hidden_size")
	}
	if eps := float64(eps); !(eps > 0) || math.IsInf(eps, 1) {
		c.Fail("layer_norm_eps", "a number above 0")
	}
	act, known := activations[c.String("hidden_act", "quick_gelu")]
	if !known {
		c.Fail("hidden_act", strings.Join(slices.Sorted(maps.Keys(activations)), ", "))
	}
	return act
}
