package unet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/tensor"
)

// slot is what an adapter brings: keys and values of its own for the model's cross-attention layers.
type slot struct {
	width  int // columns of its tokens
	layers map[string]*blocks.Linear
}

// Adapt returns the model with an image prompt's keys and values in one more slot: the first adapter
// has slot 1 of cond.Context, the next slot 2. Both models share all weights.
//
// What a picture's tokens make is added to what the text's make, with a softmax of its own for each
// (decoupled cross-attention: Ye et al. 2023, "IP-Adapter"):
//
//	attention = softmax(q·kᵀ/√d)·v + scale·softmax(q·k'ᵀ/√d)·v'
//
// An error names a layer of the model that the adapter does not fit or has nothing for, or a layer of
// the adapter that the model does not have.
func (m *Model) Adapt(ip *adapter.ImagePrompt) (*Model, error) {
	names, inners, err := m.Config.crossLayers()
	if err != nil {
		return nil, m.errorf("%w", err)
	}
	s := slot{width: ip.Width, layers: make(map[string]*blocks.Linear)}
	byNumber := make(map[int]adapter.Layer)
	for _, l := range ip.Layers() {
		byNumber[l.Number] = l
	}
	for i, name := range names {
		number := 2*i + 1 // every layer that attends to tokens follows one that attends to pixels
		l, ok := byNumber[number]
		switch {
		case !ok:
			return nil, m.errorf("%s: the adapter has no layer %d", name, number)
		case l.Inner != inners[i]:
			return nil, m.errorf("%s: layer %d of the adapter has keys of %d values, want %d", name, number, l.Inner, inners[i])
		}
		s.layers[name] = l.KV
		delete(byNumber, number)
	}
	for number := range byNumber {
		return nil, m.errorf("the adapter has a layer %d, the model %d layers with cross-attention: 1, 3, … %d", number, len(names), 2*len(names)-1)
	}
	adapted := *m
	adapted.slots = append(slices.Clip(m.slots), s)
	return &adapted, nil
}

// AttentionLayers lists the layers of attention as adapters count them, from 0 on: the way down, the way
// up, the middle, and of each block of a transformer the layer that attends to pixels and the one
// that attends to tokens. It is an error where there is attention of another kind, or none.
func (c *Config) AttentionLayers() ([]string, error) {
	cross, _, err := c.crossLayers()
	var names []string
	for _, name := range cross {
		names = append(names, strings.TrimSuffix(name, "2")+"1", name)
	}
	return names, err
}

// crossLayers lists the layers that attend to tokens, with how many columns their keys have, in the
// order that adapters count them: the way down, the way up, the middle.
func (c *Config) crossLayers() (names []string, inners []int, err error) {
	add := func(block string, b Block, layers int) {
		if b.Attention == AddedKV {
			err = fmt.Errorf("%s: an image prompt needs cross-attention of its own, which this kind of block does not have", block)
		}
		if b.Attention != Transformers {
			return
		}
		for j := range layers {
			for k := range b.Transformers[j] {
				names = append(names, fmt.Sprintf("%s.attentions.%d.transformer_blocks.%d.attn2", block, j, k))
				inners = append(inners, b.Heads*b.HeadDim)
			}
		}
	}
	for i, l := range c.Levels {
		add(fmt.Sprintf("down_blocks.%d", i), l.Down, l.Layers)
	}
	for i := len(c.Levels) - 1; i >= 0; i-- {
		add(fmt.Sprintf("up_blocks.%d", len(c.Levels)-1-i), c.Levels[i].Up, c.Levels[i].Layers+1)
	}
	add("mid_block", c.Mid.Block, c.Mid.ResNets-1)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("an image prompt for a model without cross-attention")
	}
	return names, inners, err
}

// projector returns what makes a layer's keys and values of tokens of a slot, or nil where the layer does
// not attend to that slot.
func (t *trunk) projector(slot int, layer *blocks.KeyValue) func(tensor.Mat) attention.KV {
	if slot == 0 {
		return func(tokens tensor.Mat) attention.KV { return layer.Project(t.engine, tokens) }
	}
	linear, ok := t.slots[slot-1].layers[layer.Name]
	if !ok {
		return nil
	}
	return func(tokens tensor.Mat) attention.KV {
		kv := t.compute(tokens, buildLinear(linear))
		return attention.KV{K: kv.Columns(0, layer.Inner), V: kv.Columns(layer.Inner, 2*layer.Inner)}
	}
}
