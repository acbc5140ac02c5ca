package vae_test

import (
	"slices"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/vae"
)

// Encoders and decoders convolve as their options say, and options that mean nothing are errors.
func TestOptions(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	forced := vae.Options{Conv: conv.Options{Algorithm: conv.Winograd2}}
	for name, k := range map[string]keys{"kl": kl, "tiny": tiny} {
		m := open(t, e, files(t, k))
		plainEnc, err1 := m.Encoder(1, 8, 6)
		plainDec, err2 := m.Decoder(1, 4, 3)
		enc, err3 := m.Encoder(1, 8, 6, forced)
		dec, err4 := m.Decoder(1, 4, 3, forced)
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for what, p := range map[string]*program.Program{"encoder": plainEnc.Program(), "decoder": plainDec.Program()} {
			if by := algorithms(p); !slices.Equal(by, []string{"direct"}) { // so few channels
				t.Errorf("%s, %s: by %v", name, what, by)
			}
		}
		for what, p := range map[string]*program.Program{"encoder": enc.Program(), "decoder": dec.Program()} {
			if by := algorithms(p); !slices.Contains(by, "winograd2") {
				t.Errorf("%s, %s: by %v", name, what, by)
			}
		}
		_, err := m.Encoder(1, 8, 6, forced, forced)
		modeltest.Says(t, err, "vae: session: options given 2 times")
		_, err = m.Decoder(1, 4, 3, vae.Options{Conv: conv.Options{Accuracy: 9}})
		modeltest.Says(t, err, "vae: session: conv: accuracy 9")
	}
}

// algorithms lists those that a program convolves by.
func algorithms(p *program.Program) (by []string) {
	p.Measure(true)
	defer p.Measure(false)
	for _, op := range p.Profile() {
		if op.Kind == "conv" {
			by = append(by, op.How)
		}
	}
	slices.Sort(by)
	return slices.Compact(by)
}
