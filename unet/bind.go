package unet

import (
	"slices"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/denoiser"
)

// binding is what conditions come to, image by image of a session.
type binding struct {
	inputs *denoiser.Binding // contexts and maps

	// What joins the time embedding; nil is nothing, for all images or one.
	class, pooled, guidance [][]float32

	// What is added to each skip, the middle and each level, for each image.
	skips, levels [][][]term
	mid           [][]term

	control *BoundControl // whose binding it is; nil for that of a U-Net
}

// bind checks conditions, each of which is for as many images of the batch, and computes what depends on
// them alone.
func (s *session) bind(conds []cond.Cond) (*binding, error) {
	inputs, err := s.run.Bind(conds)
	if err != nil {
		return nil, err
	}
	b := &binding{inputs: inputs}
	for i := range conds {
		class, pooled := s.trunk.class(&conds[i]), s.trunk.pooled(&conds[i])
		for range s.run.Batch / len(conds) {
			b.class = append(b.class, slices.Clone(class))
			b.pooled = append(b.pooled, pooled)
			b.guidance = append(b.guidance, slices.Clone(conds[i].Guidance))
		}
	}
	s.bindResiduals(b, conds)
	return b, nil
}
