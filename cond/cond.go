// Package cond holds what a diffusion model is conditioned on besides time, and how conditions
// combine.
//
// A condition enters a denoiser in one of a few places, each with a mechanism of its own: tokens by
// cross-attention, a label or a vector through the time embedding and the adaptive norms behind it,
// maps as further channels of the input, residuals by addition to what the model computes. A [Cond]
// has a field for every place. What makes conditions, a text encoder or a ControlNet, fills the
// fields that are its own; [Join] puts such parts together:
//
//	text := cond.Text(states)                         // from a clip.TextModel
//	style := cond.Image(1, tokens, 0.6)               // from an adapter.ImagePrompt
//	edges := cond.Cond{Residual: []cond.Residual{r}}  // from a unet.ControlNet
//	positive, err := cond.Join(text, style, edges)
//	bound, err := session.Bind(negative, positive)
//
// Models say which of the fields they take, and refuse the others.
package cond

import "github.com/lanewise/lanewise/tensor"

// Cond is what an image is conditioned on besides time: one field for every place where a
// condition can enter, whose zero value is that nothing does.
type Cond struct {
	// Context is what cross-attention attends to.
	Context []Context

	// Class is the label of a model with classes. It selects a row of the table that is added to the
	// time embedding, or is embedded as times are.
	Class int
	// Vector is the class as a vector, of a model that takes one: it is projected, where the model
	// has a projection, and added to the time embedding or put beside it. To a model with a table of
	// classes it stands in for a row, so that rows can be mixed.
	Vector []float32
	// Pooled is the embedding of a whole text or image, and Sizes are the numbers that some models
	// are told beside it: SDXL's original height and width, top and left of the crop, height and
	// width wanted; PixArt's height, width and aspect ratio.
	Pooled []float32
	Sizes  []float64
	// Guidance is the embedding of the guidance scale, for models that were distilled with one
	// (Meng et al. 2023, "On distillation of guided diffusion models"; latent consistency models).
	Guidance []float32

	// Concat is put behind the channels of the input: a mask and the masked image of inpainting, depth,
	// an image of lower resolution. It has the input's size, for all images of the condition or
	// for each. Models read it in every forward pass and keep no copy.
	Concat tensor.NHWC
	// Residual is added to what the model computes on its way down. Models read it in every forward
	// pass and keep no copy: a ControlNet writes it anew in every step.
	Residual []Residual
}

// Context is a sequence of tokens, such as a text encoder's hidden states, with a softmax of its own.
type Context struct {
	// Slot says whose keys and values the tokens get: 0 is the model's own, for text; n is the n-th
	// adapter's, which brought some for its image prompt (decoupled cross-attention: Ye et al. 2023,
	// "IP-Adapter").
	Slot int
	// Tokens are tokens × the width that the model, or the adapter, takes.
	Tokens tensor.Mat
	// Mask is added to the scores of the tokens, one value for each; nil is none. −Inf takes a token
	// out; diffusers' masks add −10000.
	Mask []float32
	// Scale weighs what is attended to; 0 means 1.
	Scale float32
}

// Residual is what is added to the features of a U-Net on its way down: by ControlNets (Zhang et al.
// 2023) to all that the way up will read, by T2I-Adapters (Mou et al. 2023) to every level.
// Each image is for all images of the condition, or has one for each.
type Residual struct {
	// Skips are added to the finished skips, from that of the first convolution on. None or all.
	Skips []tensor.NHWC
	// Mid is added behind the middle block. No Data is none.
	Mid tensor.NHWC
	// Levels are added to the output of the last layer of each level, from the input's size down,
	// before it is kept as a skip and downsampled; or, to that of a level without attention, after
	// it was downsampled. There may be fewer than the model has levels.
	Levels []tensor.NHWC
	// Scale weighs all of it; 0 means 1.
	Scale float32
}

// Text returns the condition of a text's tokens.
func Text(tokens tensor.Mat) Cond { return Cond{Context: []Context{{Tokens: tokens}}} }

// Image returns the condition of an image prompt's tokens, which the adapter of that slot made, with
// a weight.
func Image(slot int, tokens tensor.Mat, scale float32) Cond {
	return Cond{Context: []Context{{Slot: slot, Tokens: tokens, Scale: scale}}}
}
