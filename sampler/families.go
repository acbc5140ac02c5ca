package sampler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/config"
)

// A family is one of diffusers' schedulers, and what its files say.
type family struct {
	name, class string            // what a user calls it; diffusers' class
	about       string            // in a line
	preset      map[string]string // keys of a file that make it this one among those of its class
	read        func(*config.Config, *Schedule) planner
	keys        []string // that it has, besides those of all

	beta       string   // its default beta_schedule
	start, end float64  // its default beta_start and beta_end
	betas      []string // further beta schedules
	spacing    Spacing  // its default
	sigmaSpace bool     // samples are kept at x/Alpha there, and times between training steps
	finite     bool     // the last level of a zero-terminal schedule is not 0
}

// The keys that several have.
var (
	clipKeys      = []string{"clip_sample", "clip_sample_range"}
	thresholdKeys = []string{"thresholding", "dynamic_thresholding_ratio", "sample_max_value"}
	zeroKeys      = []string{"rescale_betas_zero_snr"}
	sigmasKeys    = []string{"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"}
	solverKeys    = []string{"solver_order", "solver_type", "lower_order_final", "final_sigmas_type"}
	distilledKeys = []string{"original_inference_steps", "timestep_scaling", "set_alpha_to_one"}
)

// multistep are the keys of DPMSolverMultistepScheduler.
var multistepKeys = slices.Concat(thresholdKeys, zeroKeys, sigmasKeys, solverKeys,
	[]string{"algorithm_type", "euler_at_final", "use_lu_lambdas", "lambda_min_clipped", "variance_type"})

// families are in the order in which people are told of them. The first of a class is that of its files.
var families = []*family{
	{name: "ddim", class: "DDIMScheduler", read: readDDIM,
		about: "first order, without noise: the same picture for a seed, whatever the steps (Song et al. 2021)",
		keys:  slices.Concat(clipKeys, thresholdKeys, zeroKeys, []string{"set_alpha_to_one"}),
		beta:  "linear", start: 1e-4, end: 0.02, spacing: Leading},
	{name: "ddpm", class: "DDPMScheduler", read: readDDPM,
		about: "the process that models are trained for, with noise at every step (Ho et al. 2020)",
		keys:  slices.Concat(clipKeys, thresholdKeys, zeroKeys, []string{"variance_type"}),
		beta:  "linear", start: 1e-4, end: 0.02, betas: []string{"sigmoid"}, spacing: Leading},
	{name: "pndm", class: "PNDMScheduler", read: readPNDM,
		about: "linear multistep by four answers, PLMS or begun by Runge-Kutta (Liu et al. 2022)",
		keys:  []string{"skip_prk_steps", "set_alpha_to_one"},
		beta:  "linear", start: 1e-4, end: 0.02, spacing: Leading},
	{name: "euler", class: "EulerDiscreteScheduler", read: readEuler,
		about: "first order over sigma, like DDIM, with churn if wanted (Karras et al. 2022)",
		keys: slices.Concat(zeroKeys, sigmasKeys,
			[]string{"sigma_min", "sigma_max", "final_sigmas_type", "interpolation_type", "timestep_type"}),
		beta: "linear", start: 1e-4, end: 0.02, spacing: Linspace, sigmaSpace: true, finite: true},
	{name: "euler-ancestral", class: "EulerAncestralDiscreteScheduler", read: readEulerAncestral,
		about: "Euler with fresh noise at every step: pictures change with the number of steps (k-diffusion)",
		keys:  zeroKeys,
		beta:  "linear", start: 1e-4, end: 0.02, spacing: Linspace, sigmaSpace: true, finite: true},
	{name: "heun", class: "HeunDiscreteScheduler", read: readHeun,
		about: "second order, two calls of the model a step (Karras et al. 2022)",
		keys:  slices.Concat(clipKeys, sigmasKeys),
		beta:  "linear", start: 0.00085, end: 0.012, betas: []string{"exp"}, spacing: Linspace, sigmaSpace: true},
	{name: "dpm++", class: "DPMSolverMultistepScheduler", read: readDPMSolver,
		about: "DPM-Solver++(2M), second order, one call a step: good from 10 steps on (Lu et al. 2022)",
		keys:  multistepKeys,
		beta:  "linear", start: 1e-4, end: 0.02, spacing: Linspace, finite: true},
	{name: "dpm++3m", class: "DPMSolverMultistepScheduler", read: readDPMSolver,
		about:  "DPM-Solver++(3M), by three answers (of the second order, for all its name)",
		preset: map[string]string{"solver_order": "3", "algorithm_type": `"dpmsolver++"`},
		keys:   multistepKeys,
		beta:   "linear", start: 1e-4, end: 0.02, spacing: Linspace, finite: true},
	{name: "dpm++sde", class: "DPMSolverMultistepScheduler", read: readDPMSolver,
		about:  "SDE-DPM-Solver++(2M), with fresh noise at every step",
		preset: map[string]string{"solver_order": "2", "algorithm_type": `"sde-dpmsolver++"`},
		keys:   multistepKeys,
		beta:   "linear", start: 1e-4, end: 0.02, spacing: Linspace, finite: true},
	{name: "dpm", class: "DPMSolverMultistepScheduler", read: readDPMSolver,
		about:  "DPM-Solver(2M), in terms of the noise, which it ends with a little of (Lu et al. 2022)",
		preset: map[string]string{"solver_order": "2", "algorithm_type": `"dpmsolver"`, "final_sigmas_type": `"sigma_min"`},
		keys:   multistepKeys,
		beta:   "linear", start: 1e-4, end: 0.02, spacing: Linspace, finite: true},
	{name: "unipc", class: "UniPCMultistepScheduler", read: readUniPC,
		about: "predictor and corrector of one order more, one call a step: good from 8 steps on (Zhao et al. 2023)",
		keys: slices.Concat(thresholdKeys, zeroKeys, sigmasKeys, solverKeys,
			[]string{"predict_x0", "disable_corrector", "solver_p"}),
		beta: "linear", start: 1e-4, end: 0.02, spacing: Linspace, finite: true},
	{name: "lcm", class: "LCMScheduler", read: readLCM,
		about: "for latent consistency models, distilled for 1 to 8 steps (Luo et al. 2023)",
		keys:  slices.Concat(clipKeys, thresholdKeys, zeroKeys, distilledKeys),
		beta:  "scaled_linear", start: 0.00085, end: 0.012, spacing: Leading},
	{name: "tcd", class: "TCDScheduler", read: readTCD,
		about: "for models of trajectory consistency distillation, 1 to 8 steps and more (Zheng et al. 2024)",
		keys:  slices.Concat(clipKeys, thresholdKeys, zeroKeys, distilledKeys),
		beta:  "scaled_linear", start: 0.00085, end: 0.012, spacing: Leading},
}

// Names returns the names of the samplers that ReadConfig knows: "ddim", "ddpm", ….
func Names() []string {
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.name
	}
	return names
}

// About returns a line about the sampler of a name, or "" for an unknown one.
func About(name string) string {
	if f := findFamily(name); f != nil {
		return f.about
	}
	return ""
}

// findFamily returns the family of a name or a class, or nil.
func findFamily(sampler string) *family {
	for _, f := range families {
		if sampler == f.class || strings.EqualFold(sampler, f.name) {
			return f
		}
	}
	return nil
}

func classes() []string {
	var all []string
	for _, f := range families {
		if !slices.Contains(all, f.class) {
			all = append(all, f.class)
		}
	}
	return all
}

// asking are options that make another sample where they have these values. Other options only say
// how, or are such as files of many classes have without meaning to ask: set_alpha_to_one,
// skip_prk_steps.
var asking = map[string][]string{
	"clip_sample":            {"true"},
	"thresholding":           {"true"},
	"rescale_betas_zero_snr": {"true"},
	"use_karras_sigmas":      {"true"},
	"use_exponential_sigmas": {"true"},
	"use_beta_sigmas":        {"true"},
	"use_lu_lambdas":         {"true"},
	"euler_at_final":         {"true"},
	"final_sigmas_type":      {`"sigma_min"`},
	"interpolation_type":     {`"log_linear"`},
	"timestep_type":          {`"continuous"`},
	"algorithm_type":         {`"sde-dpmsolver"`, `"sde-dpmsolver++"`},
	"variance_type":          {`"learned"`, `"learned_range"`},
}

// refuse makes options of other classes errors where they ask for something.
func (f *family) refuse(c *config.Config) {
	for _, key := range slices.Sorted(maps.Keys(asking)) {
		if slices.Contains(f.keys, key) {
			continue
		}
		for _, value := range asking[key] {
			if c.Is(key, value) {
				c.Fail(key, fmt.Sprintf("not by %s, which has no such option (but %s)", f.class, strings.Join(having(key), ", ")))
			}
		}
	}
}

// having returns the classes that have an option.
func having(key string) []string {
	var all []string
	for _, f := range families {
		if slices.Contains(f.keys, key) && !slices.Contains(all, f.class) {
			all = append(all, f.class)
		}
	}
	return all
}
