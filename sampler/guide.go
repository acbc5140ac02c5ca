package sampler

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// Guide returns a predictor of classifier-free guidance (Ho and Salimans, 2022):
//
//	out = u + scale·(c - u)
//
// where u and c are what p says under the negative and the positive condition. p is asked once for
// both: it sees twice the images, all of them for the negative condition first and then all again
// for the positive one, and has to be bound to conditions in that order. Scale 1 gives c; more
// exaggerates what the condition adds.
//
// The predictor allocates its two batches when first called and when the shape changes, and is for
// one goroutine.
func Guide(p Predictor, scale float64) Predictor {
	var in, both tensor.NHWC
	return func(ctx context.Context, out, x tensor.NHWC, point Point) error {
		if out.N != x.N || out.H != x.H || out.W != x.W {
			panic(fmt.Sprintf("sampler: prediction of %s for %s", out.Shape(), x.Shape()))
		}
		if in.N != 2*x.N || in.H != x.H || in.W != x.W || in.C != x.C || both.C != out.C {
			in = tensor.Make(2*x.N, x.H, x.W, x.C)
			both = tensor.Make(2*x.N, x.H, x.W, out.C)
		}
		tensor.Copy(in.Images(0, x.N), x)
		tensor.Copy(in.Images(x.N, 2*x.N), x)
		if err := p(ctx, both, in, point); err != nil {
			return err
		}
		negative, positive := both.Images(0, x.N).Tokens(), both.Images(x.N, 2*x.N).Tokens()
		o := out.Tokens()
		for r := range o.Rows {
			row, us, cs := o.Row(r), negative.Row(r), positive.Row(r)
			for i := range row {
				u, c := float64(us[i]), float64(cs[i])
				row[i] = float32(u + float64(scale*(c-u)))
			}
		}
		return nil
	}
}
