package unet

import (
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
)

// Config is what a U-Net or a ControlNet is made of: the constructor arguments of diffusers'
// UNet2DConditionModel, UNet2DModel and ControlNetModel with their per-level lists turned into levels,
// each option where it has a bearing, and the others left out.
type Config struct {
	InChannels, OutChannels int  // InChannels counts those of Cond.Concat too
	InKernel, OutKernel     int  // sizes of the first and the last convolution
	CenterInput             bool // the input is 2x−1
	DivideByTime            bool // the output is divided by the time

	Levels []Level // from the input's size down
	Mid    Mid

	Act, OutAct       kernels.Act // of the residual blocks, and of the last norm
	Groups            int         // of the group norms
	Eps               float64     // of the group norms, but for those of transformers
	ScaleShift        bool        // the time embedding scales and shifts, instead of being added
	DownsamplePadding int         // 1, or 0 for below and right alone

	TimeKind     TimeKind
	TimeSteps    int         // rows of the table of a LearnedTime
	TimeDim      int         // width of the time embedding
	CosFirst     bool        // order of sines and cosines
	FreqShift    float64     // of a sinusoid
	TimeInnerAct kernels.Act // within the time embedding's network
	TimePostAct  kernels.Act // after that network
	TimeAct      kernels.Act // after all embeddings were added
	GuidanceDim  int         // length of Cond.Guidance; 0 is none

	ClassKind   ClassKind
	Classes     int         // labels of a ClassTable
	VectorDim   int         // length of Cond.Vector; 0 where there is no place for one
	ClassAct    kernels.Act // within the network of ClassTime and ClassNetwork
	ClassConcat bool        // the class is put beside the time embedding, not added

	PooledKind  PooledKind
	PooledDim   int // length of Cond.Pooled; with PooledSizes that of it and the embedded Cond.Sizes
	ImageDim    int // how many values of Cond.Pooled, the last, are an image's; 0 is none
	SizeDim     int // width of the sinusoid of each of Cond.Sizes
	PooledHeads int // of the attention of PooledTokens

	ContextKind ContextKind
	ContextDim  int // columns of the tokens of slot 0
	CrossDim    int // columns of the tokens that cross-attention sees

	LinearProjection bool // transformers project by linear layers, not 1 × 1 convolutions
}

// Level is one size of image: a block on the way down, and one on the way back up.
type Level struct {
	Channels int
	// Layers is the number of residual blocks on the way down; there is one more on the way up.
	Layers   int
	Down, Up Block
}

// Mid is the block between down and up: residual blocks with attention between them.
type Mid struct {
	ResNets int // 0 is no block: what comes down goes up
	Block
}

// Block is a row of residual blocks, each with attention behind it or not.
type Block struct {
	Attention Attention
	// Heads are those of the attention, each of HeadDim channels. What they leave over of the
	// block's channels, the attention leaves out.
	Heads, HeadDim int
	// Transformers is, for Transformers, the number of transformer blocks of each layer.
	Transformers []int
	// OnlyCross says that pixels attend to tokens alone, not to each other.
	OnlyCross bool
	// CrossNorm is the norm of tokens before AddedKV.
	CrossNorm blocks.CrossNorm
	// Groups are those of the norm before Spatial attention; 0 is no norm.
	Groups int

	// ResNetResampler says that a residual block halves or doubles the image, not a convolution.
	ResNetResampler bool
	// SkipTimeAct says that residual blocks take the time embedding without an activation.
	SkipTimeAct bool
	// OutScale divides the output of residual blocks and of Spatial attention.
	OutScale float64
}

// Attention is a kind of attention behind a residual block.
type Attention uint8

const (
	NoAttention  Attention = iota
	Transformers           // transformer blocks: to pixels, to tokens, feed-forward
	Spatial                // to pixels
	AddedKV                // to tokens and pixels in one softmax
)

// Crosses says whether pixels attend to tokens.
func (a Attention) Crosses() bool { return a == Transformers || a == AddedKV }

// TimeKind says how a number that is a time becomes a vector.
type TimeKind uint8

const (
	SinusoidTime   TimeKind = iota // sines and cosines of fixed frequencies
	FourierTime                    // of frequencies from the checkpoint
	LogFourierTime                 // likewise, of the time's logarithm
	LearnedTime                    // a row of a table
)

// ClassKind says what becomes of a class before it joins the time embedding.
type ClassKind uint8

const (
	NoClass      ClassKind = iota
	ClassTable             // a row of a table
	ClassTime              // the label is embedded as times are, by a network of its own
	ClassVector            // Cond.Vector as it is
	ClassNetwork           // Cond.Vector through two layers
	ClassLinear            // Cond.Vector through one
)

// PooledKind says what else joins the time embedding.
type PooledKind uint8

const (
	NoPooled           PooledKind = iota
	PooledSizes                   // Cond.Pooled beside the sinusoids of Cond.Sizes, through two layers (SDXL)
	PooledTokens                  // the tokens of slot 0, pooled by attention (DeepFloyd IF)
	PooledImage                   // Cond.Pooled, of an image, through a layer and a norm (Kandinsky 2.2)
	PooledTextAndImage            // Cond.Pooled, of a text and then of an image, each through a layer (Kandinsky 2.1)
)

// ContextKind says what becomes of the tokens of slot 0 before cross-attention sees them.
type ContextKind uint8

const (
	GivenTokens     ContextKind = iota // nothing
	ProjectedTokens                    // a linear layer
	ImageTokens                        // Cond.Pooled, of an image, makes them all (Kandinsky 2.2)
	ImageAndTokens                     // the image in Cond.Pooled makes some, and those given are projected and put behind
)

// ofImage says whether there are tokens that an image makes.
func (k ContextKind) ofImage() bool { return k == ImageTokens || k == ImageAndTokens }

// How many tokens an image makes.
const (
	imageTokens         = 32
	imageTokensWithText = 10
)

// Attends says whether the model has cross-attention.
func (c *Config) Attends() bool {
	for _, l := range c.Levels {
		if l.Down.Attention.Crosses() || l.Up.Attention.Crosses() {
			return true
		}
	}
	return c.Mid.Attention.Crosses()
}

// blockTimeDim is how wide the embedding is that residual blocks see.
func (c *Config) blockTimeDim() int {
	if c.ClassConcat {
		return 2 * c.TimeDim
	}
	return c.TimeDim
}
