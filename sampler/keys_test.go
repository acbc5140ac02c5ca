package sampler_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
)

const (
	ddpm      = `_class_name: "DDPMScheduler"`
	pndm      = `_class_name: "PNDMScheduler"`
	ancestral = `_class_name: "EulerAncestralDiscreteScheduler"`
	heun      = `_class_name: "HeunDiscreteScheduler"`
	multistep = `_class_name: "DPMSolverMultistepScheduler"`
	unipc     = `_class_name: "UniPCMultistepScheduler"`
	lcm       = `_class_name: "LCMScheduler"`
	tcd       = `_class_name: "TCDScheduler"`
)

// What keys make of the method of each class.
func TestConfigMethods(t *testing.T) {
	one := sampler.Reading{Clip: 1}
	threshold := sampler.Threshold{Quantile: 0.9, Max: 2}
	bounds := []string{"thresholding: true", "dynamic_thresholding_ratio: 0.9", "sample_max_value: 2"}
	for _, test := range []struct {
		keys []string
		want sampler.Method
	}{
		{[]string{ddim, bounds[0], bounds[1], bounds[2]}, sampler.DDIM{Reading: sampler.Reading{Clip: 1, Threshold: threshold}}},
		{[]string{ddim, bounds[0]}, sampler.DDIM{Reading: sampler.Reading{Clip: 1, Threshold: sampler.Threshold{Quantile: 0.995, Max: 1}}}},
		{[]string{ddim, bounds[1], bounds[2]}, sampler.DDIM{Reading: one}},

		{[]string{ddpm}, sampler.DDPM{Reading: one}},
		{[]string{ddpm, `variance_type: "fixed_small"`}, sampler.DDPM{Reading: one}},
		{[]string{ddpm, `variance_type: "fixed_small_log"`}, sampler.DDPM{Reading: one}},
		{[]string{ddpm, `variance_type: "fixed_large"`}, sampler.DDPM{Reading: one, Variance: sampler.FixedLarge}},
		{[]string{ddpm, `variance_type: "fixed_large_log"`}, sampler.DDPM{Reading: one, Variance: sampler.FixedLarge}},
		{[]string{ddpm, `variance_type: "learned"`}, sampler.DDPM{Reading: one, Variance: sampler.Learned}},
		{[]string{ddpm, `variance_type: "learned_range"`}, sampler.DDPM{Reading: one, Variance: sampler.LearnedRange}},
		{[]string{ddpm, "variance_type: null"}, sampler.DDPM{Reading: one}},
		{[]string{ddpm, "clip_sample: false", bounds[0], bounds[1], bounds[2], `prediction_type: "sample"`},
			sampler.DDPM{Reading: sampler.Reading{Prediction: sampler.Sample, Threshold: threshold}}},
		{[]string{ddpm, "clip_sample_range: 3", `beta_schedule: "sigmoid"`}, sampler.DDPM{Reading: sampler.Reading{Clip: 3}}},

		{[]string{pndm}, sampler.PNDM{RungeKutta: true, Stride: 50}},
		{[]string{pndm, "skip_prk_steps: true"}, sampler.PNDM{Stride: 50}},
		{[]string{pndm, "skip_prk_steps: true", `prediction_type: "v_prediction"`},
			sampler.PNDM{Reading: sampler.Reading{Prediction: sampler.Velocity}, Stride: 50}},

		{[]string{euler, `prediction_type: "sample"`}, sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Sample}}},
		{[]string{euler, `prediction_type: "original_sample"`}, sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Sample}}},
		{[]string{ancestral, `prediction_type: "v_prediction"`}, sampler.EulerAncestral{Reading: sampler.Reading{Prediction: sampler.Velocity}}},
		{[]string{heun}, sampler.Heun{}},
		{[]string{heun, "clip_sample: true"}, sampler.Heun{Reading: one}},
		{[]string{heun, "clip_sample: true", "clip_sample_range: 2", `prediction_type: "sample"`, `beta_schedule: "exp"`},
			sampler.Heun{Reading: sampler.Reading{Prediction: sampler.Sample, Clip: 2}}},

		{[]string{multistep}, sampler.DPMSolver{Order: 2, FewSteps: true}},
		{[]string{multistep, "solver_order: 1", "lower_order_final: false"}, sampler.DPMSolver{Order: 1}},
		{[]string{multistep, "solver_order: 3", "euler_at_final: true"}, sampler.DPMSolver{Order: 3, FewSteps: true, EulerAtFinal: true}},
		{[]string{multistep, `solver_type: "heun"`}, sampler.DPMSolver{Order: 2, FewSteps: true, Heun: true}},
		{[]string{multistep, `solver_type: "logrho"`}, sampler.DPMSolver{Order: 2, FewSteps: true}},
		{[]string{multistep, `solver_type: "bh1"`}, sampler.DPMSolver{Order: 2, FewSteps: true}},
		{[]string{multistep, `algorithm_type: "deis"`}, sampler.DPMSolver{Order: 2, FewSteps: true}},
		{[]string{multistep, `algorithm_type: "sde-dpmsolver++"`}, sampler.DPMSolver{Order: 2, FewSteps: true, SDE: true}},
		{[]string{multistep, `algorithm_type: "dpmsolver"`, `final_sigmas_type: "sigma_min"`}, sampler.DPMSolver{Order: 2, FewSteps: true, OfNoise: true}},
		{[]string{multistep, `algorithm_type: "sde-dpmsolver"`, `final_sigmas_type: "sigma_min"`},
			sampler.DPMSolver{Order: 2, FewSteps: true, OfNoise: true, SDE: true}},
		{[]string{multistep, `variance_type: "learned_range"`, `prediction_type: "v_prediction"`},
			sampler.DPMSolver{Reading: sampler.Reading{Prediction: sampler.Velocity, SaysVariance: true}, Order: 2, FewSteps: true}},
		{[]string{multistep, `variance_type: "learned"`}, sampler.DPMSolver{Reading: sampler.Reading{SaysVariance: true}, Order: 2, FewSteps: true}},
		{[]string{multistep, bounds[0], bounds[1], bounds[2]}, sampler.DPMSolver{Reading: sampler.Reading{Threshold: threshold}, Order: 2, FewSteps: true}},

		{[]string{unipc}, sampler.UniPC{Order: 2}},
		{[]string{unipc, "solver_order: 3", `solver_type: "bh1"`, "lower_order_final: false", "disable_corrector: [0, 2]"},
			sampler.UniPC{Order: 3, Linear: true, KeepOrder: true, Uncorrected: []int{0, 2}}},
		{[]string{unipc, `solver_type: "midpoint"`, "disable_corrector: null"}, sampler.UniPC{Order: 2}},
		{[]string{unipc, bounds[0], bounds[1], bounds[2]}, sampler.UniPC{Reading: sampler.Reading{Threshold: threshold}, Order: 2}},
		{[]string{unipc, bounds[0], "predict_x0: false", `final_sigmas_type: "sigma_min"`}, sampler.UniPC{Order: 2, OfNoise: true}},

		{[]string{lcm}, sampler.LCM{Scaling: 10}},
		{[]string{lcm, "timestep_scaling: 3", "clip_sample: true", "clip_sample_range: 2", bounds[0], bounds[1], bounds[2], "set_alpha_to_one: false"},
			sampler.LCM{Reading: sampler.Reading{Clip: 2, Threshold: threshold}, Scaling: 3}},
		{[]string{tcd, "clip_sample: true", "timestep_scaling: 3", "set_alpha_to_one: false", `prediction_type: "sample"`},
			sampler.TCD{Reading: sampler.Reading{Prediction: sampler.Sample}, Eta: 0.3}},
	} {
		if got := stripped(plan(t, 20, "", test.keys...).Method); !reflect.DeepEqual(got, stripped(test.want)) {
			t.Errorf("%s: %#v, want %#v", test.keys, got, test.want)
		}
	}
}

// What keys make of the schedule.
func TestConfigSchedules(t *testing.T) {
	for _, test := range []struct {
		keys []string
		want sampler.Schedule // but for its levels
	}{
		{[]string{ddim, "set_alpha_to_one: false", "steps_offset: 2"}, sampler.Schedule{FinalNoise: true, Offset: 2}},
		{[]string{ddim}, sampler.Schedule{}},
		{[]string{ddpm, `timestep_spacing: "trailing"`}, sampler.Schedule{Spacing: sampler.Trailing}},
		{[]string{pndm}, sampler.Schedule{FinalNoise: true}},
		{[]string{pndm, "set_alpha_to_one: true", `timestep_spacing: "linspace"`}, sampler.Schedule{Spacing: sampler.Linspace}},
		{[]string{euler}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true}},
		{[]string{euler, `final_sigmas_type: "sigma_min"`}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, FinalNoise: true}},
		{[]string{euler, `interpolation_type: "log_linear"`}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, FullRange: true, Sigmas: sampler.LogLinear}},
		{[]string{euler, `interpolation_type: "log_linear"`, "use_karras_sigmas: true"},
			sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, FullRange: true, Sigmas: sampler.Karras}},
		{[]string{euler, "use_exponential_sigmas: true", "sigma_min: 0.1", "sigma_max: 9"},
			sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Exponential, MinSigma: 0.1, MaxSigma: 9}},
		{[]string{euler, "use_beta_sigmas: true", "sigma_min: null"}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Beta}},
		{[]string{euler, `timestep_type: "continuous"`, `prediction_type: "v_prediction"`}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, LogTimes: true}},
		{[]string{euler, `timestep_type: "continuous"`}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true}}, // as in diffusers
		{[]string{ancestral, "steps_offset: 1"}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Offset: 1}},
		{[]string{heun, "use_karras_sigmas: true"}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Karras}},
		{[]string{heun, "use_exponential_sigmas: true"}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Exponential}},
		{[]string{heun, "use_beta_sigmas: true"}, sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Beta}},
		{[]string{multistep}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true}},
		{[]string{multistep, `final_sigmas_type: "sigma_min"`}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true, FinalNoise: true}},
		{[]string{multistep, "use_lu_lambdas: true"}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true, Sigmas: sampler.Lu}},
		{[]string{multistep, "use_lu_lambdas: true", "use_karras_sigmas: true"}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true, Sigmas: sampler.Karras}},
		{[]string{multistep, "lambda_min_clipped: -Infinity"}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true}},
		{[]string{multistep, "lambda_min_clipped: 0"}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true, Clipped: 741}},
		{[]string{multistep, "use_karras_sigmas: true", "sigma_max: 9"}, // Euler's key, which diffusers takes here too
			sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true, Sigmas: sampler.Karras, MaxSigma: 9}},
		{[]string{unipc, "use_exponential_sigmas: true"}, sampler.Schedule{Spacing: sampler.Linspace, SkipLast: true, FullRange: true, Sigmas: sampler.Exponential}},
		{[]string{unipc, "use_beta_sigmas: true", `timestep_spacing: "leading"`}, sampler.Schedule{SkipLast: true, FullRange: true, Sigmas: sampler.Beta}},
		{[]string{lcm}, sampler.Schedule{Distilled: 50}},
		{[]string{lcm, "original_inference_steps: 40"}, sampler.Schedule{Distilled: 40}},
		{[]string{tcd}, sampler.Schedule{Distilled: 50, FinalNoise: true}},
	} {
		c, err := read("", test.keys...)
		if err != nil {
			t.Error(err)
		} else if got := bare(c.Schedule); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.keys, got, test.want)
		}
	}
}

// The levels of each class and kind of betas.
func TestConfigLevels(t *testing.T) {
	const most = 0x1p-24 // the last level that a method over sigma is given for none
	zero := func(betas []float64) sampler.Levels { return sampler.NewLevels(betas).ZeroTerminal() }
	finite := func(betas []float64) sampler.Levels {
		levels := zero(betas)
		levels[len(levels)-1] = most
		return levels
	}
	linear := sampler.LinearBetas(1000, 0.0001, 0.02)
	for _, test := range []struct {
		keys []string
		want sampler.Levels
	}{
		{[]string{ddim}, sampler.NewLevels(linear)},
		{[]string{ddpm}, sampler.NewLevels(linear)},
		{[]string{pndm}, sampler.NewLevels(linear)},
		{[]string{euler}, sampler.NewLevels(linear)},
		{[]string{ancestral}, sampler.NewLevels(linear)},
		{[]string{heun}, sampler.NewLevels(sampler.LinearBetas(1000, 0.00085, 0.012))},
		{[]string{multistep}, sampler.NewLevels(linear)},
		{[]string{unipc}, sampler.NewLevels(linear)},
		{[]string{lcm}, sampler.NewLevels(sampler.ScaledLinearBetas(1000, 0.00085, 0.012))},
		{[]string{tcd}, sampler.NewLevels(sampler.ScaledLinearBetas(1000, 0.00085, 0.012))},
		{[]string{ddim, `beta_schedule: "squaredcos_cap_v2"`, "num_train_timesteps: 100"}, sampler.NewLevels(sampler.CosineBetas(100))},
		{[]string{ddpm, `beta_schedule: "sigmoid"`, "beta_start: 0.001", "beta_end: 0.01"}, sampler.NewLevels(sampler.SigmoidBetas(1000, 0.001, 0.01))},
		{[]string{heun, `beta_schedule: "exp"`}, sampler.NewLevels(sampler.ExponentialBetas(1000))},
		{[]string{ddim, "rescale_betas_zero_snr: true"}, zero(linear)},
		{[]string{ddpm, "rescale_betas_zero_snr: true"}, zero(linear)},
		{[]string{lcm, "rescale_betas_zero_snr: true", `beta_schedule: "linear"`}, zero(sampler.LinearBetas(1000, 0.00085, 0.012))},
		{[]string{tcd, "rescale_betas_zero_snr: true", `beta_schedule: "linear"`}, zero(sampler.LinearBetas(1000, 0.00085, 0.012))},
		{[]string{euler, "rescale_betas_zero_snr: true"}, finite(linear)},
		{[]string{ancestral, "rescale_betas_zero_snr: true"}, finite(linear)},
		{[]string{multistep, "rescale_betas_zero_snr: true"}, finite(linear)},
		{[]string{unipc, "rescale_betas_zero_snr: true"}, finite(linear)},
		{[]string{ddim, "trained_betas: [0.1, 0.2]", "num_train_timesteps: 2"}, sampler.NewLevels([]float64{0.1, 0.2})},
	} {
		if c, err := read("", test.keys...); err != nil {
			t.Error(err)
		} else if !slices.Equal(c.Schedule.Levels, test.want) {
			t.Errorf("%s: levels from %v to %v, want from %v to %v", test.keys, c.Schedule.Levels[0],
				c.Schedule.Levels[len(c.Schedule.Levels)-1], test.want[0], test.want[len(test.want)-1])
		}
	}
}

// An option of another class is an error where it asks for something, and names the classes that have it.
func TestConfigOptionsOfOthers(t *testing.T) {
	asking := map[string]string{
		"clip_sample": "true", "thresholding": "true", "rescale_betas_zero_snr": "true", "use_karras_sigmas": "true",
		"use_exponential_sigmas": "true", "use_beta_sigmas": "true", "use_lu_lambdas": "true", "euler_at_final": "true",
		"final_sigmas_type": `"sigma_min"`, "interpolation_type": `"log_linear"`, "timestep_type": `"continuous"`,
		"algorithm_type": `"sde-dpmsolver++"`, "variance_type": `"learned"`,
	}
	off := map[string]string{
		"final_sigmas_type": `"zero"`, "interpolation_type": `"linear"`, "timestep_type": `"discrete"`,
		"algorithm_type": `"dpmsolver++"`, "variance_type": `"fixed_small"`,
	}
	for _, text := range asWritten {
		class := strings.Split(text, `"`)[3]
		for key, value := range asking {
			if strings.Contains(text, `"`+key+`"`) {
				continue // its own
			}
			_, err := read("", fmt.Sprintf("_class_name: %q", class), key+": "+value)
			want := fmt.Sprintf("sampler: config: scheduler_config.json: %s is %s, supported: not by %s, which has no such option (but ", key, value, class)
			if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%v, want %s", err, want)
				continue
			}
			// The classes that are named have it.
			for _, other := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(err.Error(), want), ")"), ", ") {
				if !slices.ContainsFunc(asWritten, func(text string) bool {
					return strings.Contains(text, `"`+other+`"`) && strings.Contains(text, `"`+key+`"`)
				}) {
					t.Errorf("%s: %q does not have it", key, other)
				}
			}
			value, ok := off[key]
			if !ok {
				value = "false"
			}
			for _, value := range []string{value, "null"} {
				if c, err := read("", fmt.Sprintf("_class_name: %q", class), key+": "+value); err != nil || len(c.Unknown) > 0 {
					t.Errorf("%s: %s: %s: %v", class, key, value, err)
				}
			}
			// Asked to be another sampler, the file's options are those that both have.
			if _, err := read(class, `_class_name: "Another"`, key+": "+value); err != nil {
				t.Errorf("as %s: %v", class, err)
			}
		}
	}
}

// What cannot be names the key, its value and what is supported, for each key of each class.
func TestConfigKeyErrors(t *testing.T) {
	for _, test := range []struct{ class, key, value, supported string }{
		{ddim, "num_train_timesteps", "1", "2 to 1048576"},
		{ddim, "num_train_timesteps", "2000000", "2 to 1048576"},
		{ddim, "num_train_timesteps", "1.5", "a size of at least 1 and at most 16777216"},
		{ddim, "beta_end", "1", "a number above 0 and below 1"},
		{ddim, "beta_schedule", `"exp"`, `"linear" or "scaled_linear" or "squaredcos_cap_v2"`},
		{ddpm, "beta_schedule", `"exp"`, `"linear" or "scaled_linear" or "squaredcos_cap_v2" or "sigmoid"`},
		{heun, "beta_schedule", `"sigmoid"`, `"linear" or "scaled_linear" or "squaredcos_cap_v2" or "exp"`},
		{lcm, "beta_schedule", `"other"`, `"linear" or "scaled_linear" or "squaredcos_cap_v2"`},
		{ddim, "trained_betas", `"linear"`, "a list of numbers"},
		{ddim, "steps_offset", "0.5", "an integer"},
		{ddim, "clip_sample", "1", "true or false"},
		{ddim, "clip_sample_range", "Infinity", "a number above 0"},
		{ddim, "set_alpha_to_one", `"yes"`, "true or false"},
		{ddim, "dynamic_thresholding_ratio", "1.5", "a number above 0 and at most 1"},
		{ddim, "dynamic_thresholding_ratio", "0", "a number above 0 and at most 1"},
		{ddim, "sample_max_value", "0", "a number above 0"},
		{ddim, "sample_max_value", "NaN", "a number above 0"},
		{ddim, "rescale_betas_zero_snr", "2", "true or false"},
		{ddpm, "variance_type", `"small"`, `"fixed_large" or "fixed_large_log" or "fixed_small" or "fixed_small_log" or "learned" or "learned_range"`},
		{pndm, "prediction_type", `"sample"`, `"epsilon" or "v_prediction"`},
		{pndm, "skip_prk_steps", "3", "true or false"},
		{euler, "interpolation_type", `"cubic"`, `"linear" or "log_linear"`},
		{euler, "timestep_type", `"both"`, `"discrete" or "continuous"`},
		{euler, "sigma_min", "0", "a number from 2⁻⁶⁴ to 2⁶⁴, or null"},
		{euler, "use_karras_sigmas", "1", "true or false"},
		{multistep, "solver_order", "0", "1 to 3"},
		{multistep, "solver_order", "4", "1 to 3"},
		{multistep, "solver_type", `"other"`, `"midpoint" or "heun" or "logrho" or "bh1" or "bh2"`},
		{multistep, "algorithm_type", `"ode"`, `"dpmsolver++" or "sde-dpmsolver++" or "dpmsolver" or "sde-dpmsolver" or "deis"`},
		{multistep, "lower_order_final", "null", "true or false"},
		{multistep, "lambda_min_clipped", "100", "a number below the lambdas of at least two training steps"},
		{unipc, "solver_order", "10", "1 to 9"},
		{unipc, "solver_p", "1", "null"},
		{unipc, "disable_corrector", "[-1]", "a list of integers of at least 0"},
		{unipc, "predict_x0", "null", "true or false"},
		{lcm, "original_inference_steps", "1001", "1 to num_train_timesteps, 1000"},
		{lcm, "timestep_scaling", "0", "a number above 0"},
		{tcd, "original_inference_steps", "0", "a size of at least 1 and at most 16777216"},
	} {
		_, err := read("", test.class, test.key+": "+test.value)
		want := fmt.Sprintf("sampler: config: scheduler_config.json: %s is %s, supported: %s", test.key, test.value, test.supported)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", test.class, err, want)
		}
	}
	for _, test := range []struct {
		want string
		keys []string
	}{
		{`use_beta_sigmas is true, supported: false with use_karras_sigmas true`, []string{euler, "use_karras_sigmas: true", "use_beta_sigmas: true"}},
		{`solver_order is 3, supported: 1 or 2 with algorithm_type sde-dpmsolver++`, []string{multistep, "solver_order: 3", `algorithm_type: "sde-dpmsolver++"`}},
		{`final_sigmas_type is missing, supported: "sigma_min" with algorithm_type dpmsolver`, []string{multistep, `algorithm_type: "dpmsolver"`}},
		{`final_sigmas_type is "zero", supported: "sigma_min" with predict_x0 false`, []string{unipc, "predict_x0: false", `final_sigmas_type: "zero"`}},
		{`num_train_timesteps is 1000, supported: fewer of such betas: after training step 45 ᾱ is 0`, []string{ddim, "beta_start: 0.9", "beta_end: 0.9", "num_train_timesteps: 1000"}},
	} {
		if _, err := read("", test.keys...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.keys, err, test.want)
		}
	}
}

// Given times and sigmas are kept as they are; where a step of DDIM ends is then the next point.
func TestPlanAtAndOf(t *testing.T) {
	c, err := read("", ddim, "clip_sample: false")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.PlanAt([]float64{900, 500, 7})
	if err != nil {
		t.Fatal(err)
	}
	if m := p.Method.(sampler.DDIM); m.Next != nil || len(p.Points) != 4 || p.Points[1] != c.Schedule.Levels.At(500) {
		t.Errorf("%+v", p)
	}
	if p, err = c.PlanOf([]float64{9, 3, 0}); err != nil || len(p.Points) != 3 || math.Abs(sigma(p.Points[1])-3) > 1e-12 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.PlanAt(nil); err == nil {
		t.Error("no error for no times")
	}
	if _, err := c.PlanOf(nil); err == nil {
		t.Error("no error for no sigmas")
	}
	e, err := read("", euler)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = e.PlanOf([]float64{9, 3, 0}); err != nil || p.NoiseScale != p.Points[0].Sigma {
		t.Errorf("noise is scaled by %v, %v", p.NoiseScale, err)
	}
	d, err := read("", pndm)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range []func() (*sampler.Plan, error){
		func() (*sampler.Plan, error) { return d.PlanAt([]float64{900, 500, 7}) },
		func() (*sampler.Plan, error) { return d.PlanOf([]float64{9, 3, 0}) },
	} {
		if _, err := plan(); err == nil || err.Error() != "sampler: PNDM needs even steps" {
			t.Errorf("PNDM: %v", err)
		}
	}
}
