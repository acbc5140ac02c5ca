package sampler_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// read reads a configuration of the keys given, "name: value" in JSON without the quotes of names.
func read(as string, keys ...string) (*sampler.Config, error) { return readText(text(keys...), as) }

// text returns the text of a configuration of the keys given.
func text(keys ...string) string {
	var members []string
	for _, key := range keys {
		name, value, _ := strings.Cut(key, ": ")
		members = append(members, fmt.Sprintf("%q: %s", name, value))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// plan reads a configuration and plans n steps.
func plan(t *testing.T, n int, as string, keys ...string) *sampler.Plan {
	t.Helper()
	c, err := read(as, keys...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Plan(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	ddim  = `_class_name: "DDIMScheduler"`
	euler = `_class_name: "EulerDiscreteScheduler"`
)

// Missing keys have the defaults of diffusers' class.
func TestConfigDefaults(t *testing.T) {
	p := plan(t, 10, "", ddim)
	if m := p.Method.(sampler.DDIM); m.Prediction != sampler.Epsilon || m.Clip != 1 || m.Eta != 0 || m.Next != nil || m.FitNoise {
		t.Errorf("DDIM is %+v", m)
	}
	if p.Points[0].T != 900 || p.Points[9].T != 0 || p.Points[10].Alpha != 1 || p.NoiseScale != 1 {
		t.Errorf("DDIM's points are %v, noise scale %v", p.Points, p.NoiseScale)
	}
	if got := p.Points[9].Sigma; math.Abs(got-0.01) > 1e-6 {
		t.Errorf("the first beta is %v, want 0.0001", got*got)
	}
	p = plan(t, 4, "", euler)
	if m := p.Method.(sampler.Euler); m != (sampler.Euler{}) {
		t.Errorf("Euler is %+v", m)
	}
	if p.Points[1].T != 666 || p.Points[4].Alpha != 1 || p.NoiseScale != p.Points[0].Sigma {
		t.Errorf("Euler's points are %v, noise scale %v", p.Points, p.NoiseScale)
	}
}

// Every key has its effect.
func TestConfigKeys(t *testing.T) {
	p := plan(t, 3, "", ddim, `prediction_type: "v_prediction"`, "clip_sample_range: 1.5", "set_alpha_to_one: false",
		`timestep_spacing: "leading"`, "steps_offset: 1", "num_train_timesteps: 500")
	if m := p.Method.(sampler.DDIM); m.Prediction != sampler.Velocity || m.Clip != 1.5 {
		t.Errorf("DDIM is %+v", m)
	}
	if p.Points[0].T != 333 || p.Points[3].Sigma == 0 {
		t.Errorf("points are %v", p.Points)
	}
	if m := plan(t, 3, "", ddim, "clip_sample: false").Method.(sampler.DDIM); m.Clip != 0 {
		t.Errorf("DDIM is %+v, want no clipping", m)
	}
	if m := plan(t, 3, "", ddim, `prediction_type: "sample"`, "clip_sample: true").Method.(sampler.DDIM); m.Prediction != sampler.Sample {
		t.Errorf("DDIM is %+v", m)
	}
	p = plan(t, 3, "", ddim, "trained_betas: [0.5, 0.5, 0.5]", "num_train_timesteps: 3")
	if got := p.Points[0].Alpha; got != math.Sqrt(0.125) {
		t.Errorf("alpha %v after three betas of ½", got)
	}
	p = plan(t, 3, "", ddim, "rescale_betas_zero_snr: true", `timestep_spacing: "trailing"`)
	if p.Points[0].Alpha != 0 || p.Points[0].Sigma != 1 {
		t.Errorf("the first point is %v, want nothing but noise", p.Points[0])
	}
	p = plan(t, 3, "", euler, "rescale_betas_zero_snr: true", `timestep_spacing: "trailing"`)
	if sigma := p.Points[0].Sigma / p.Points[0].Alpha; math.Abs(sigma-4096) > 1e-3 {
		t.Errorf("the first sigma is %v, want 4096", sigma)
	}
	p = plan(t, 3, "", euler, "use_karras_sigmas: true", "sigma_min: 0.5", "sigma_max: 8", `final_sigmas_type: "sigma_min"`)
	first, last := p.Points[0].Sigma/p.Points[0].Alpha, p.Points[2].Sigma/p.Points[2].Alpha
	if math.Abs(first-8) > 1e-12 || math.Abs(last-0.5) > 1e-12 || p.Points[3].Sigma == 0 {
		t.Errorf("sigmas from %v to %v, the last point %v", first, last, p.Points[3])
	}
	if p := plan(t, 3, "", euler, `timestep_spacing: "leading"`); p.NoiseScale != 1 {
		t.Errorf("noise scale %v with leading spacing", p.NoiseScale)
	}
	x := tensor.Make(1, 1, 1, 1)
	x.Data[0] = 2
	plan(t, 3, "", euler).Begin(x)
	if want := float32(2 * plan(t, 3, "", euler).NoiseScale); x.Data[0] != want {
		t.Errorf("Begin makes %v of 2, want %v", x.Data[0], want)
	}
}

// DDIM steps back by N/n, which is not to the next point where n does not divide N.
func TestConfigNext(t *testing.T) {
	if m := plan(t, 20, "", ddim, `timestep_spacing: "trailing"`).Method.(sampler.DDIM); m.Next != nil {
		t.Error("20 even steps do not end where the next begin")
	}
	p := plan(t, 3, "", ddim, `timestep_spacing: "linspace"`)
	m := p.Method.(sampler.DDIM)
	if m.Next == nil {
		t.Fatal("no Next for linspace")
	}
	for i, want := range []float64{999 - 333, 500 - 333} {
		if got := m.Next(p.Points[i]); got.T != want {
			t.Errorf("from %v to %v, want %v", p.Points[i].T, got.T, want)
		}
	}
	if got := m.Next(p.Points[2]); got != p.Points[3] {
		t.Errorf("the last step ends at %v, want %v", got, p.Points[3])
	}
}

// Another sampler than the file's takes what both know, and its own defaults.
func TestConfigAs(t *testing.T) {
	file := []string{ddim, `prediction_type: "v_prediction"`, "clip_sample: true", "beta_start: 0.00085", "beta_end: 0.012",
		`beta_schedule: "scaled_linear"`, "thresholding: true", "custom: 3"}
	for _, as := range []string{"euler", "Euler", "EulerDiscreteScheduler"} {
		p := plan(t, 5, as, file...)
		if m, ok := p.Method.(sampler.Euler); !ok || m.Prediction != sampler.Velocity {
			t.Errorf("%s is %+v", as, p.Method)
		}
		if sigma := p.Points[0].Sigma / p.Points[0].Alpha; math.Abs(sigma-14.6146) > 1e-3 || p.Points[1].T != 749.25 {
			t.Errorf("%s: sigma %v, then t = %v", as, sigma, p.Points[1].T)
		}
	}
	c, err := read("euler", file...)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"custom"}; !slices.Equal(c.Unknown, want) {
		t.Errorf("unknown keys are %q, want %q", c.Unknown, want)
	}
	if want := []string{"ddim", "ddpm", "pndm", "euler", "euler-ancestral", "heun", "dpm++", "dpm++3m", "dpm++sde", "dpm", "unipc", "lcm", "tcd"}; !slices.Equal(sampler.Names(), want) {
		t.Errorf("samplers are %q, want %q", sampler.Names(), want)
	}
}

// Every sampler is told of in a line, by its name in any case and by its class.
func TestAbout(t *testing.T) {
	for _, name := range append(sampler.Names(), "HEUN", "TCDScheduler") {
		if about := sampler.About(name); about == "" || strings.Contains(about, "\n") {
			t.Errorf("%s: %q", name, about)
		}
	}
	if about := sampler.About("other"); about != "" {
		t.Errorf("other: %q", about)
	}
}

// What cannot be names the file, the key, its value, and what is supported.
func TestConfigErrors(t *testing.T) {
	const file = "sampler: config: scheduler_config.json: "
	for want, keys := range map[string][]string{
		file + `_class_name is missing, supported: DDIMScheduler, DDPMScheduler, PNDMScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, HeunDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler, LCMScheduler, TCDScheduler`:                  {},
		file + `_class_name is "KDPM2DiscreteScheduler", supported: DDIMScheduler, DDPMScheduler, PNDMScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, HeunDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler, LCMScheduler, TCDScheduler`: {`_class_name: "KDPM2DiscreteScheduler"`},
		file + `prediction_type is "flow", supported: "epsilon" or "v_prediction" or "sample"`:                                 {ddim, `prediction_type: "flow"`},
		file + `beta_schedule is "sigmoid", supported: "linear" or "scaled_linear" or "squaredcos_cap_v2"`:                     {euler, `beta_schedule: "sigmoid"`},
		file + `timestep_spacing is "even", supported: "leading" or "linspace" or "trailing"`:                                  {ddim, `timestep_spacing: "even"`},
		file + `beta_start is 0, supported: a number above 0 and below 1`:                                                      {ddim, "beta_start: 0"},
		file + `beta_end is NaN, supported: a number above 0 and below 1`:                                                      {ddim, "beta_end: NaN"},
		file + `clip_sample_range is -1, supported: a number above 0`:                                                          {ddim, "clip_sample_range: -1"},
		file + `num_train_timesteps is 0, supported: a size of at least 1 and at most 16777216`:                                {ddim, "num_train_timesteps: 0"},
		file + `trained_betas is [0.1, 0.2], supported: 3 numbers above 0 and below 1, one for each of num_train_timesteps`:    {ddim, "trained_betas: [0.1, 0.2]", "num_train_timesteps: 3"},
		file + `trained_betas is [0.1, 0.2, 1], supported: 3 numbers above 0 and below 1, one for each of num_train_timesteps`: {ddim, "trained_betas: [0.1, 0.2, 1]", "num_train_timesteps: 3"},
		file + `final_sigmas_type is "one", supported: "zero" or "sigma_min"`:                                                  {euler, `final_sigmas_type: "one"`},
		file + `sigma_max is -3, supported: a number from 2⁻⁶⁴ to 2⁶⁴, or null`:                                                {euler, "sigma_max: -3"},
	} {
		if _, err := read("", keys...); err == nil || err.Error() != want {
			t.Errorf("%v:\n got %v\nwant %s", keys, err, want)
		}
	}
	want := `sampler: unknown sampler "deis"; there are ` + strings.Join(sampler.Names(), ", ")
	if _, err := read("deis", ddim); err == nil || err.Error() != want {
		t.Errorf("deis: %v, want %s", err, want)
	}
	if _, err := sampler.ReadConfig(fstest.MapFS{}, "scheduler_config.json", ""); err == nil {
		t.Error("no error for a missing file")
	}
	if c, err := read("", ddim); err != nil {
		t.Error(err)
	} else if _, err := c.Plan(1001); err == nil {
		t.Error("no error for 1001 steps")
	}
}
