package pipeline

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/sampler"
)

// scheduler is a model of nothing but a schedule, in the keys of its file.
func scheduler(t *testing.T, keys string) *TextStyle {
	t.Helper()
	m := new(TextStyle)
	if err := m.readSamplers(fstest.MapFS{"scheduler_config.json": {Data: []byte("{" + keys + "}")}}); err != nil {
		t.Fatal(err)
	}
	return m
}

// The file's sampler and schedule are the defaults, and the others take what they can.
func TestReadSamplers(t *testing.T) {
	all := sampler.ScheduleNames()
	for _, c := range []struct {
		keys, sampler, schedule string
		without                 []string // samplers that cannot use it
	}{
		{`"_class_name": "DDIMScheduler"`, "ddim", "leading", nil},
		{`"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"`, "euler", "trailing", nil},
		{`"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true`, "dpm++", "karras", nil},
		{`"_class_name": "LCMScheduler"`, "lcm", "", nil},
		{`"_class_name": "DDIMScheduler", "prediction_type": "sample"`, "ddim", "leading", []string{"pndm"}},
	} {
		m := scheduler(t, c.keys)
		if m.Sampler != c.sampler || m.Schedule != c.schedule {
			t.Errorf("%s: %s and %q, want %s and %q", c.keys, m.Sampler, m.Schedule, c.sampler, c.schedule)
		}
		want := slices.DeleteFunc(sampler.Names(), func(name string) bool { return slices.Contains(c.without, name) })
		if got := m.Samplers(); !slices.Equal(got, want) {
			t.Errorf("%s: samplers %q, want %q", c.keys, got, want)
		}
		for name, want := range map[string][]string{"ddim": all, "Unipc": all, "lcm": nil, "magic": nil} {
			if got := m.Schedules(name); !slices.Equal(got, want) {
				t.Errorf("%s: schedules of %s are %q, want %q", c.keys, name, got, want)
			}
		}
		for _, name := range c.without {
			if err := m.check(name); err == nil || !strings.Contains(err.Error(), "prediction_type is \"sample\"") || m.Schedules(name) != nil {
				t.Errorf("%s: %s: %v, schedules %q", c.keys, name, err, m.Schedules(name))
			}
		}
	}
	if got, want := scheduler(t, `"_class_name": "DDIMScheduler"`).Schedules("pndm"), []string{"leading", "linspace", "trailing"}; !slices.Equal(got, want) {
		t.Errorf("schedules of pndm are %q, want %q", got, want)
	}
}

func TestReadSamplersErrors(t *testing.T) {
	for keys, want := range map[string]string{
		``: "_class_name is missing",
		`"_class_name": "DDIMScheduler", "beta_start": 2`:                     "beta_start is 2",
		`"_class_name": "PNDMScheduler", "prediction_type": "sample"`:         `prediction_type is "sample"`,
		`"_class_name": "DDIMScheduler", "timestep_spacing": "karras"`:        `timestep_spacing is "karras"`,
		`"_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "one"`: `final_sigmas_type is "one"`,
	} {
		err := new(TextStyle).readSamplers(fstest.MapFS{"scheduler_config.json": {Data: []byte("{" + keys + "}")}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
}

// Steps that are too far for Heun's method, and nothing else, are doubtful.
func TestDoubt(t *testing.T) {
	m := scheduler(t, `"_class_name": "DDIMScheduler", "beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"`)
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"first step", Request{Sampler: "heun", Steps: 20}, "step 1 of heun goes from sigma 20291 to 12.807, too far"},
		{"in the middle", Request{Sampler: "Heun", Steps: 4, Schedule: "karras"}, "step 3 of heun goes from sigma "},
		{"many steps", Request{Sampler: "heun", Steps: 1000}, ""},
		{"small steps", Request{Sampler: "heun", Steps: 20, Schedule: "leading"}, ""},
		{"to no noise", Request{Sampler: "heun", Steps: 1}, ""},
		{"from a picture", Request{Sampler: "heun", Steps: 20, From: numbered(2, 2), Strength: 0.9}, ""},
		{"other sampler", Request{Steps: 20}, ""},
		{"error", Request{Sampler: "heun", Steps: 2000}, ""},
		{"error of the request", Request{Sampler: "magic", Steps: 20}, ""},
	} {
		if got := m.Doubt(c.r); !strings.HasPrefix(got, c.want) || got != "" && c.want == "" {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
