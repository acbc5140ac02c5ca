package sampler_test

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// A model of samples that are all ¾ knows what is noise: whatever is not ¾·Alpha.
func Example() {
	model := func(_ context.Context, out, x tensor.NHWC, p sampler.Point) error {
		for i, v := range x.Data {
			out.Data[i] = float32((float64(v) - 0.75*p.Alpha) / p.Sigma)
		}
		return nil
	}
	schedule := sampler.Schedule{Levels: sampler.NewLevels(sampler.CosineBetas(1000)), Spacing: sampler.Trailing}
	points, err := schedule.Points(4)
	if err != nil {
		fmt.Println(err)
		return
	}
	x := tensor.Make(1, 8, 8, 1)
	sampler.Noise(x, 7)
	for step, err := range sampler.Steps(context.Background(), model, x, points, sampler.DDIM{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("step %d of %d, from t = %g to %g\n", step.Index+1, step.Count, step.From.T, step.To.T)
	}
	fmt.Printf("%.4f\n", x.Pixel(0, 3, 3)[0])
	// Output:
	// step 1 of 4, from t = 999 to 749
	// step 2 of 4, from t = 749 to 499
	// step 3 of 4, from t = 499 to 249
	// step 4 of 4, from t = 249 to 0
	// 0.7500
}
