package sampler_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/sampler"
)

// Files as they are found: of all classes as diffusers 0.31 writes them, and as models are published
// with them.

// readText reads a configuration of this text.
func readText(text, as string) (*sampler.Config, error) {
	return sampler.ReadConfig(fstest.MapFS{"scheduler_config.json": {Data: []byte(text)}}, "scheduler_config.json", as)
}

// asWritten is what save_config writes of a scheduler of each class that was made without arguments.
var asWritten = []string{
	`{"_class_name": "DDIMScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.02, "beta_schedule": "linear",
	"beta_start": 0.0001, "clip_sample": true, "clip_sample_range": 1.0, "dynamic_thresholding_ratio": 0.995,
	"num_train_timesteps": 1000, "prediction_type": "epsilon", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
	"set_alpha_to_one": true, "steps_offset": 0, "thresholding": false, "timestep_spacing": "leading", "trained_betas": null}`,
	`{"_class_name": "DDPMScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.02, "beta_schedule": "linear",
	"beta_start": 0.0001, "clip_sample": true, "clip_sample_range": 1.0, "dynamic_thresholding_ratio": 0.995,
	"num_train_timesteps": 1000, "prediction_type": "epsilon", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
	"steps_offset": 0, "thresholding": false, "timestep_spacing": "leading", "trained_betas": null,
	"variance_type": "fixed_small"}`,
	`{"_class_name": "PNDMScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.02, "beta_schedule": "linear",
	"beta_start": 0.0001, "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": false,
	"skip_prk_steps": false, "steps_offset": 0, "timestep_spacing": "leading", "trained_betas": null}`,
	`{"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.02, "beta_schedule": "linear",
	"beta_start": 0.0001, "final_sigmas_type": "zero", "interpolation_type": "linear", "num_train_timesteps": 1000,
	"prediction_type": "epsilon", "rescale_betas_zero_snr": false, "sigma_max": null, "sigma_min": null, "steps_offset": 0,
	"timestep_spacing": "linspace", "timestep_type": "discrete", "trained_betas": null, "use_beta_sigmas": false,
	"use_exponential_sigmas": false, "use_karras_sigmas": false}`,
	`{"_class_name": "EulerAncestralDiscreteScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.02,
	"beta_schedule": "linear", "beta_start": 0.0001, "num_train_timesteps": 1000, "prediction_type": "epsilon",
	"rescale_betas_zero_snr": false, "steps_offset": 0, "timestep_spacing": "linspace", "trained_betas": null}`,
	`{"_class_name": "HeunDiscreteScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.012, "beta_schedule": "linear",
	"beta_start": 0.00085, "clip_sample": false, "clip_sample_range": 1.0, "num_train_timesteps": 1000,
	"prediction_type": "epsilon", "steps_offset": 0, "timestep_spacing": "linspace", "trained_betas": null,
	"use_beta_sigmas": false, "use_exponential_sigmas": false, "use_karras_sigmas": false}`,
	`{"_class_name": "DPMSolverMultistepScheduler", "_diffusers_version": "0.31.0", "algorithm_type": "dpmsolver++",
	"beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001, "dynamic_thresholding_ratio": 0.995,
	"euler_at_final": false, "final_sigmas_type": "zero", "lambda_min_clipped": -Infinity, "lower_order_final": true,
	"num_train_timesteps": 1000, "prediction_type": "epsilon", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
	"solver_order": 2, "solver_type": "midpoint", "steps_offset": 0, "thresholding": false, "timestep_spacing": "linspace",
	"trained_betas": null, "use_beta_sigmas": false, "use_exponential_sigmas": false, "use_karras_sigmas": false,
	"use_lu_lambdas": false, "variance_type": null}`,
	`{"_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.02, "beta_schedule": "linear",
	"beta_start": 0.0001, "disable_corrector": [], "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero",
	"lower_order_final": true, "num_train_timesteps": 1000, "predict_x0": true, "prediction_type": "epsilon",
	"rescale_betas_zero_snr": false, "sample_max_value": 1.0, "solver_order": 2, "solver_p": null, "solver_type": "bh2",
	"steps_offset": 0, "thresholding": false, "timestep_spacing": "linspace", "trained_betas": null, "use_beta_sigmas": false,
	"use_exponential_sigmas": false, "use_karras_sigmas": false}`,
	`{"_class_name": "LCMScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
	"beta_start": 0.00085, "clip_sample": false, "clip_sample_range": 1.0, "dynamic_thresholding_ratio": 0.995,
	"num_train_timesteps": 1000, "original_inference_steps": 50, "prediction_type": "epsilon", "rescale_betas_zero_snr": false,
	"sample_max_value": 1.0, "set_alpha_to_one": true, "steps_offset": 0, "thresholding": false, "timestep_scaling": 10.0,
	"timestep_spacing": "leading", "trained_betas": null}`,
	`{"_class_name": "TCDScheduler", "_diffusers_version": "0.31.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
	"beta_start": 0.00085, "clip_sample": false, "clip_sample_range": 1.0, "dynamic_thresholding_ratio": 0.995,
	"num_train_timesteps": 1000, "original_inference_steps": 50, "prediction_type": "epsilon", "rescale_betas_zero_snr": false,
	"sample_max_value": 1.0, "set_alpha_to_one": true, "steps_offset": 0, "thresholding": false, "timestep_scaling": 10.0,
	"timestep_spacing": "leading", "trained_betas": null}`,
}

// A file with all defaults is read like one with nothing but the class, and has no key that is unknown.
func TestConfigAsWritten(t *testing.T) {
	for _, text := range asWritten {
		class := strings.Split(text, `"`)[3]
		c, err := readText(text, "")
		if err != nil {
			t.Error(err)
			continue
		}
		if len(c.Unknown) > 0 {
			t.Errorf("%s: unknown keys %q", class, c.Unknown)
		}
		empty, err := read("", fmt.Sprintf("_class_name: %q", class))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Schedule, empty.Schedule) {
			t.Errorf("%s: schedule %+v, without keys %+v", class, bare(c.Schedule), bare(empty.Schedule))
		}
		a, errA := c.Plan(20)
		b, errB := empty.Plan(20)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if !reflect.DeepEqual(stripped(a.Method), stripped(b.Method)) || !slices.Equal(a.Points, b.Points) || a.NoiseScale != b.NoiseScale {
			t.Errorf("%s: %+v, without keys %+v", class, a, b)
		}
		// Every other sampler takes the file too.
		for _, name := range sampler.Names() {
			if as, err := readText(text, name); err != nil || as.Name != name || len(as.Unknown) > 0 {
				t.Errorf("%s as %s: %v", class, name, err)
			}
		}
	}
}

// bare returns a schedule without its levels.
func bare(s sampler.Schedule) sampler.Schedule {
	s.Levels = nil
	return s
}

// stripped returns a method without its functions, and with nil for what is empty: these cannot be compared.
func stripped(m sampler.Method) sampler.Method {
	switch m := m.(type) {
	case sampler.DDIM:
		m.Next = nil
		return m
	case sampler.DDPM:
		m.Next = nil
		return m
	case sampler.PNDM:
		m.Level = nil
		return m
	case sampler.TCD:
		m.Level = nil
		return m
	case sampler.UniPC:
		m.Uncorrected = append([]int(nil), m.Uncorrected...)
		return m
	}
	return m
}

// As models are published with them, with keys of the classes that they had been made for before.
func TestConfigPublished(t *testing.T) {
	for _, test := range []struct {
		model, text string
		method      sampler.Method
		steps       int
		first, last float64 // time of the first point and of the last that the model is asked at
		unknown     []string
	}{
		{"Stable Diffusion 1.5", `{
  "_class_name": "PNDMScheduler",
  "_diffusers_version": "0.6.0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "num_train_timesteps": 1000,
  "set_alpha_to_one": false,
  "skip_prk_steps": true,
  "steps_offset": 1,
  "trained_betas": null,
  "clip_sample": false
}`, sampler.PNDM{Stride: 20}, 50, 981, 1, nil},
		{"Stable Diffusion 2.1", `{
  "_class_name": "DDIMScheduler",
  "_diffusers_version": "0.8.0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "clip_sample": false,
  "num_train_timesteps": 1000,
  "prediction_type": "v_prediction",
  "set_alpha_to_one": false,
  "skip_prk_steps": true,
  "steps_offset": 1,
  "trained_betas": null
}`, sampler.DDIM{Reading: sampler.Reading{Prediction: sampler.Velocity}}, 50, 981, 1, nil},
		{"SDXL", `{
  "_class_name": "EulerDiscreteScheduler",
  "_diffusers_version": "0.19.0.dev0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "clip_sample": false,
  "interpolation_type": "linear",
  "num_train_timesteps": 1000,
  "prediction_type": "epsilon",
  "sample_max_value": 1.0,
  "set_alpha_to_one": false,
  "skip_prk_steps": true,
  "steps_offset": 1,
  "timestep_spacing": "leading",
  "trained_betas": null,
  "use_karras_sigmas": false
}`, sampler.Euler{}, 40, 976, 1, nil},
		{"SDXL Turbo", `{
  "_class_name": "EulerAncestralDiscreteScheduler",
  "_diffusers_version": "0.24.0.dev0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "clip_sample": false,
  "interpolation_type": "linear",
  "num_train_timesteps": 1000,
  "prediction_type": "epsilon",
  "sample_max_value": 1.0,
  "set_alpha_to_one": false,
  "skip_prk_steps": true,
  "steps_offset": 1,
  "timestep_spacing": "trailing",
  "trained_betas": null
}`, sampler.EulerAncestral{}, 4, 999, 249, nil},
		{"Stable Video Diffusion", `{
  "_class_name": "EulerDiscreteScheduler",
  "_diffusers_version": "0.24.0.dev0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "clip_sample": false,
  "interpolation_type": "linear",
  "num_train_timesteps": 1000,
  "prediction_type": "v_prediction",
  "set_alpha_to_one": false,
  "sigma_max": 700.0,
  "sigma_min": 0.002,
  "skip_prk_steps": true,
  "steps_offset": 1,
  "timestep_spacing": "leading",
  "timestep_type": "continuous",
  "trained_betas": null,
  "use_karras_sigmas": true
}`, sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Velocity}}, 25, math.Log(700) / 4, math.Log(0.002) / 4, nil},
		{"a latent consistency model", `{
  "_class_name": "LCMScheduler",
  "_diffusers_version": "0.22.0.dev0",
  "beta_end": 0.012,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "clip_sample": false,
  "clip_sample_range": 1.0,
  "dynamic_thresholding_ratio": 0.995,
  "num_train_timesteps": 1000,
  "original_inference_steps": 50,
  "prediction_type": "epsilon",
  "rescale_betas_zero_snr": false,
  "sample_max_value": 1.0,
  "set_alpha_to_one": true,
  "steps_offset": 0,
  "thresholding": false,
  "timestep_spacing": "leading",
  "trained_betas": null
}`, sampler.LCM{Scaling: 10}, 4, 999, 259, nil},
		{"PixArt", `{
  "_class_name": "DPMSolverMultistepScheduler",
  "_diffusers_version": "0.22.0.dev0",
  "algorithm_type": "dpmsolver++",
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "beta_start": 0.0001,
  "dynamic_thresholding_ratio": 0.995,
  "euler_at_final": false,
  "lambda_min_clipped": -Infinity,
  "lower_order_final": true,
  "num_train_timesteps": 1000,
  "prediction_type": "epsilon",
  "sample_max_value": 1.0,
  "solver_order": 2,
  "solver_type": "midpoint",
  "steps_offset": 0,
  "thresholding": false,
  "timestep_spacing": "linspace",
  "trained_betas": null,
  "use_karras_sigmas": false,
  "use_lu_lambdas": false,
  "variance_type": null
}`, sampler.DPMSolver{Order: 2, FewSteps: true}, 20, 999, 50, nil},
		{"DDPM of CIFAR-10", `{
  "_class_name": "DDPMScheduler",
  "_diffusers_version": "0.1.1",
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "beta_start": 0.0001,
  "clip_sample": true,
  "num_train_timesteps": 1000,
  "tensor_format": "pt",
  "trained_betas": null,
  "variance_type": "fixed_large"
}`, sampler.DDPM{Reading: sampler.Reading{Clip: 1}, Variance: sampler.FixedLarge}, 1000, 999, 0, []string{"tensor_format"}},
	} {
		c, err := readText(test.text, "")
		if err != nil {
			t.Errorf("%s: %v", test.model, err)
			continue
		}
		p, err := c.Plan(test.steps)
		if err != nil {
			t.Errorf("%s: %v", test.model, err)
			continue
		}
		if !reflect.DeepEqual(stripped(p.Method), test.method) {
			t.Errorf("%s: %#v, want %#v", test.model, stripped(p.Method), test.method)
		}
		first, last := p.Points[0].T, p.Points[len(p.Points)-2].T
		if math.Abs(first-test.first) > 1e-9 || math.Abs(last-test.last) > 1e-9 || !slices.Equal(c.Unknown, test.unknown) {
			t.Errorf("%s: times from %v to %v, unknown keys %q", test.model, first, last, c.Unknown)
		}
	}
}
