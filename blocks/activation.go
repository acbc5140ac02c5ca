package blocks

import (
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/kernels"
)

// activations are diffusers' names.
var activations = map[string]kernels.Act{
	"": kernels.Identity, "silu": kernels.SiLU, "swish": kernels.SiLU,
	"gelu": kernels.GELU, "mish": kernels.Mish, "relu": kernels.ReLU,
}

// Activation reads the name of an activation from a configuration. A key that is not there has the
// default missing; null, where that is the default "", is none.
func Activation(c *config.Config, key, missing string) kernels.Act {
	return activations[c.String(key, missing, "silu", "swish", "gelu", "mish", "relu")]
}
