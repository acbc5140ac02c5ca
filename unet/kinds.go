package unet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
)

// kind is what the name of one of diffusers' block types says.
type kind struct {
	attention Attention
	// resnets says that the block's resampler is a residual block, and that resnet_skip_time_act and
	// resnet_out_scale_factor reach it.
	resnets bool
}

// The block types of diffusers that there are here. As diffusers does, "UNetRes" before a name is
// overlooked: old files have it.
var (
	downKinds = map[string]kind{
		"DownBlock2D":                {},
		"ResnetDownsampleBlock2D":    {resnets: true},
		"AttnDownBlock2D":            {attention: Spatial},
		"CrossAttnDownBlock2D":       {attention: Transformers},
		"SimpleCrossAttnDownBlock2D": {attention: AddedKV, resnets: true},
	}
	midKinds = map[string]kind{
		"UNetMidBlock2D":                {},
		"UNetMidBlock2DCrossAttn":       {attention: Transformers},
		"UNetMidBlock2DSimpleCrossAttn": {attention: AddedKV, resnets: true},
	}
	upKinds = map[string]kind{
		"UpBlock2D":                {},
		"ResnetUpsampleBlock2D":    {resnets: true},
		"AttnUpBlock2D":            {attention: Spatial},
		"CrossAttnUpBlock2D":       {attention: Transformers},
		"SimpleCrossAttnUpBlock2D": {attention: AddedKV, resnets: true},
	}
)

// readKinds reads a list of block types, as long as that of the defaults. crosses says whether those with
// cross-attention are among the supported.
func readKinds(c *config.Config, key string, missing []string, kinds map[string]kind, crosses bool) []kind {
	var supported []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if crosses || !kinds[name].attention.Crosses() {
			supported = append(supported, name)
		}
	}
	list := make([]kind, len(missing))
	names := c.Strings(key, missing)
	if len(names) != len(list) {
		c.Fail(key, fmt.Sprintf("a list of %d, as block_out_channels", len(list)))
		return list
	}
	for i, name := range names {
		name = strings.TrimPrefix(name, "UNetRes")
		if !slices.Contains(supported, name) {
			c.Fail(key, fmt.Sprintf("a list of %q", supported))
			return list
		}
		list[i] = kinds[name]
	}
	return list
}

// options are the keys that describe the blocks of all levels, with a value for each level where there
// is one.
type options struct {
	heads    []int // of transformers
	headDims []int // of other attention
	headsKey string
	dimsKey  string

	onlyCross      []bool
	crossNorm      blocks.CrossNorm
	groups         int  // of the norm before spatial attention
	resnetResample bool // in blocks with spatial attention
	skipTimeAct    bool
	outScale       float64
}

// up returns what the options are on the way up: the dimensions of heads are in its order there, from the
// last level, not by level as all else is.
func (o options) up() *options {
	o.headDims = slices.Clone(o.headDims)
	slices.Reverse(o.headDims)
	return &o
}

// block returns the block of a kind at a level of so many channels; transformers are for each of its
// layers.
func (o *options) block(c *config.Config, k kind, level, channels int, transformers []int) Block {
	b := Block{Attention: k.attention, ResNetResampler: k.resnets, OutScale: 1}
	if k.resnets {
		b.SkipTimeAct, b.OutScale = o.skipTimeAct, o.outScale
	}
	switch k.attention {
	case Transformers:
		b.Heads, b.Transformers, b.OnlyCross = o.heads[level], transformers, o.onlyCross[level]
		if b.HeadDim = channels / b.Heads; b.HeadDim == 0 {
			c.Fail(o.headsKey, fmt.Sprintf("at most as many heads as block_out_channels, %d", channels))
		}
	case Spatial, AddedKV:
		b.HeadDim = o.headDims[level]
		if b.Heads = channels / b.HeadDim; b.Heads == 0 {
			c.Fail(o.dimsKey, fmt.Sprintf("heads of at most block_out_channels, %d", channels))
		}
	}
	switch k.attention {
	case Spatial:
		b.Groups, b.ResNetResampler = o.groups, o.resnetResample
	case AddedKV:
		b.OnlyCross, b.CrossNorm = o.onlyCross[level], o.crossNorm
	}
	return b
}
