package blocks

import (
	"strings"

	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// SpatialAttention is the attention block of autoencoders and unconditional U-Nets: diffusers'
// Attention on an image,
//
//	y = (attention(norm(x)) + x) / Rescale
//
// where the pixels attend to each other, and x is left out unless Residual is set.
type SpatialAttention struct {
	Name string

	norm      *GroupNorm // nil where there is none
	attention *SelfAttention
	residual  bool
	scale     float64 // 1/Rescale
}

// SpatialOptions are what a SpatialAttention is like.
type SpatialOptions struct {
	AttentionOptions
	Groups   int // of the norm; 0 is no norm
	Eps      float64
	Residual bool
	Rescale  float64 // divides the output; 0 means 1
}

// SpatialAttention loads what SelfAttention does, and "group_norm" where there is one.
func (l *Loader) SpatialAttention(name string, channels int, o SpatialOptions) *SpatialAttention {
	a := &SpatialAttention{
		Name: name, residual: o.Residual, scale: 1,
		attention: l.SelfAttention(name, channels, o.AttentionOptions),
	}
	if o.Groups > 0 {
		a.norm = l.GroupNorm(name+".group_norm", channels, o.Groups, o.Eps, kernels.Identity)
	}
	if o.Rescale != 0 {
		a.scale = 1 / o.Rescale
	}
	return a
}

// Build appends dst = the attention of src. dst may be src.
func (a *SpatialAttention) Build(g *Graph, dst, src program.Value) {
	h := src
	if a.norm != nil {
		h = g.Image(src.N, src.H, src.W, src.C)
		a.norm.Build(g, h, src)
	}
	f := Fuse{Scale: a.scale}
	if a.residual {
		f.Add = src
		if a.scale != 1 {
			f.Add = g.Image(src.N, src.H, src.W, src.C)
			g.Scale(a.Name+".rescale_output_factor", f.Add, src, a.scale)
		}
	}
	a.attention.Build(g, dst, h, f)
}

// LegacyAttention is an Alias for the names that attention layers of autoencoders and unconditional
// U-Nets had in old checkpoints: "query" for "to_q", "key" for "to_k", "value" for "to_v" and
// "proj_attn" for "to_out.0". It returns "" for any other tensor.
func LegacyAttention(name string) string {
	path := "." + name
	for _, n := range [][2]string{{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}} {
		if strings.Contains(path, n[0]) {
			return strings.Replace(path, n[0], n[1], 1)[1:]
		}
	}
	return ""
}
