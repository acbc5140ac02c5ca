package conv_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

func TestTry(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e, _ := engine.New(engine.Options{Set: set, Workers: 2})
		defer e.Close()
		r := rand.New(rand.NewPCG(1, 2))
		random := func(n int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(r.NormFloat64())
			}
			return v
		}
		for _, up := range []bool{false, true} {
			for _, s := range [][5]int{{2, 5, 7, 3, 5}, {1, 16, 16, 70, 130}, {3, 9, 8, 150, 20}} {
				g := conv.Same(3)
				g.Upsample = up
				n, h, w, in, out := s[0], s[1], s[2], s[3], s[4]
				p := conv.Pack(e, random(out*in*9), out, in, g)
				src := tensor.Make(n, h, w, in)
				copy(src.Data, random(len(src.Data)))
				oh, ow := p.Size(h, w)
				want, got := tensor.Make(n, oh, ow, out), tensor.Make(n, oh, ow, out)
				add := tensor.Make(n, oh, ow, out)
				copy(add.Data, random(len(add.Data)))
				ib := tensor.Mat{Rows: n, Cols: out, Stride: out, Data: random(n * out)}
				sc := tensor.Mat{Rows: n, Cols: in, Stride: in, Data: random(n * in)}
				sh := tensor.Mat{Rows: n, Cols: in, Stride: in, Data: random(n * in)}
				for _, pro := range []gemm.Prologue{{}, {Scale: sc, Shift: sh, Act: kernels.SiLU}} {
					for _, act := range []kernels.Act{kernels.Identity, kernels.SiLU} {
						ep := gemm.Epilogue{ImageBias: ib, Add: add.Tokens(), Act: act}
						conv.Apply(e, want, src, p, pro, ep)
						for _, a := range []conv.Algorithm{conv.Winograd2, conv.Winograd4, conv.Winograd6, conv.PhasesWinograd} {
							if !p.Fits(a, h, w, oh, ow) {
								continue
							}
							for _, stored := range []bool{true, false} {
								if a == conv.PhasesWinograd && !stored {
									continue
								}
								q := p.With(e, conv.Plan{Algorithm: a, Stored: stored})
								conv.Apply(e, got, src, q, pro, ep)
								var sum, most float64
								for i, v := range want.Data {
									sum += float64(v * v)
									most = max(most, math.Abs(float64(v-got.Data[i])))
								}
								if rel := most / math.Sqrt(sum/float64(len(want.Data))); !(rel < 1e-4) {
									t.Error(fmt.Sprint(s, up, a, stored, pro.Active(), act, rel))
								}
							}
						}
					}
				}
			}
		}
	})
}
