package sampler_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// threeQuarters is a model of samples that are all ¾.
func threeQuarters(_ context.Context, out, x tensor.NHWC, p sampler.Point) error {
	for i, v := range x.Data {
		out.Data[i] = float32((float64(v) - 0.75*p.Alpha) / p.Sigma)
	}
	return nil
}

// stableDiffusion is the scheduler's directory of Stable Diffusion 1.
var stableDiffusion = fstest.MapFS{"scheduler_config.json": {Data: []byte(`{
	"_class_name": "PNDMScheduler", "num_train_timesteps": 1000, "skip_prk_steps": true, "set_alpha_to_one": false,
	"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1
}`)}}

// A file of diffusers, followed by another method and over another schedule than it says.
func ExampleReadConfig() {
	config, err := sampler.ReadConfig(stableDiffusion, "scheduler_config.json", "dpm++sde")
	if err != nil {
		fmt.Println(err)
		return
	}
	if config, err = config.With("karras"); err != nil {
		fmt.Println(err)
		return
	}
	plan, err := config.Plan(6)
	if err != nil {
		fmt.Println(err)
		return
	}
	noise := sampler.NewGenerator(7) // as torch.Generator().manual_seed(7)
	x := tensor.Make(1, 8, 8, 4)
	noise.Noise(x)
	plan.Begin(x)
	method := sampler.WithNoise(plan.Method, noise) // goes on with the same stream
	for step, err := range sampler.Steps(context.Background(), threeQuarters, x, plan.Points, method) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("step %d of %d, from sigma %.3f at t = %g\n", step.Index+1, step.Count, step.From.Sigma/step.From.Alpha, step.From.T)
	}
	fmt.Printf("%.4f\n", x.Pixel(0, 3, 3)[0])
	// Output:
	// step 1 of 6, from sigma 14.615 at t = 999
	// step 2 of 6, from sigma 6.082 at t = 837
	// step 3 of 6, from sigma 2.232 at t = 594
	// step 4 of 6, from sigma 0.693 at t = 249
	// step 5 of 6, from sigma 0.170 at t = 30
	// step 6 of 6, from sigma 0.029 at t = 0
	// 0.7500
}

// Image to image: noise is added to a sample, and the last of the steps are made.
func ExampleConfig_PlanFrom() {
	config, err := sampler.ReadConfig(stableDiffusion, "scheduler_config.json", "unipc")
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, first, err := config.PlanFrom(20, 0.25)
	if err != nil {
		fmt.Println(err)
		return
	}
	x, noise := tensor.Make(1, 8, 8, 4), tensor.Make(1, 8, 8, 4) // x is a clean sample: 0
	sampler.Noise(noise, 7)
	sampler.AddNoise(x, x, noise, plan.Points[first])
	for step, err := range sampler.StepsFrom(context.Background(), threeQuarters, x, plan.Points, first, plan.Method) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("step %d of %d, from t = %g\n", step.Index+1, step.Count, step.From.T)
	}
	// Output:
	// step 1 of 5, from t = 250
	// step 2 of 5, from t = 200
	// step 3 of 5, from t = 150
	// step 4 of 5, from t = 100
	// step 5 of 5, from t = 50
}
