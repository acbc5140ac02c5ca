package lora

import (
	"fmt"
	"strconv"
	"strings"
)

// diffusersName turns the flat name that a module has in the original code of Stable Diffusion's U-Nets
// into diffusers'. Other names it returns as they are. layers is the U-Net's layers_per_block.
//
// The original numbers what is on the way down and on the way up without regard to levels: on the
// way down a convolution, and then for each level its layers and what halves the image; on the
// way up the layers of each level, one more than below, of which the last enlarges the image.
func diffusersName(flat string, layers int) string {
	for from, to := range sgmModules {
		if flat == from {
			return to
		}
	}
	if rest, ok := strings.CutPrefix(flat, "middle_block_"); ok {
		if i, rest, ok := number(rest); ok && i < len(sgmMiddle) {
			return sgmMiddle[i] + inner(sgmMiddle[i], rest)
		}
		return flat
	}
	if rest, ok := strings.CutPrefix(flat, "input_blocks_"); ok {
		i, rest, ok := number(rest)
		j, rest, ok2 := number(rest)
		if !ok || !ok2 || i == 0 {
			return flat
		}
		level, layer := (i-1)/(layers+1), (i-1)%(layers+1)
		return block("down_blocks", level, layer, j, rest)
	}
	if rest, ok := strings.CutPrefix(flat, "output_blocks_"); ok {
		i, rest, ok := number(rest)
		j, rest, ok2 := number(rest)
		if !ok || !ok2 {
			return flat
		}
		return block("up_blocks", i/(layers+1), i%(layers+1), j, rest)
	}
	return flat
}

// sgmModules are those that stand by themselves.
var sgmModules = map[string]string{
	"input_blocks_0_0": "conv_in",
	"out_0":            "conv_norm_out", "out_2": "conv_out",
	"time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2",
	"label_emb_0_0": "add_embedding_linear_1", "label_emb_0_2": "add_embedding_linear_2",
}

// sgmMiddle are the parts of the middle block.
var sgmMiddle = []string{"mid_block_resnets_0", "mid_block_attentions_0", "mid_block_resnets_1"}

// sgmResNet are the layers of a residual block.
var sgmResNet = map[string]string{
	"in_layers_0": "norm1", "in_layers_2": "conv1", "emb_layers_1": "time_emb_proj",
	"out_layers_0": "norm2", "out_layers_3": "conv2", "skip_connection": "conv_shortcut",
}

// block returns the name of module j of a layer of a level: 0 is the residual block, 1 the transformer,
// and what has one convolution resamples.
func block(way string, level, layer, j int, rest string) string {
	switch {
	case rest == "_op":
		return fmt.Sprintf("%s_%d_downsamplers_0_conv", way, level)
	case rest == "_conv":
		return fmt.Sprintf("%s_%d_upsamplers_0_conv", way, level)
	}
	kind := "resnets"
	if j > 0 {
		kind = "attentions"
	}
	module := fmt.Sprintf("%s_%d_%s_%d", way, level, kind, layer)
	return module + inner(module, rest)
}

// inner returns what a module calls its layer; rest begins with an underscore. Transformers have the
// same names in both.
func inner(module, rest string) string {
	if layer, ok := sgmResNet[strings.TrimPrefix(rest, "_")]; ok && strings.Contains(module, "_resnets_") {
		return "_" + layer
	}
	return rest
}

// number cuts the number off that s, after an underscore, begins with.
func number(s string) (n int, rest string, ok bool) {
	s = strings.TrimPrefix(s, "_")
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	return n, s[end:], err == nil
}
