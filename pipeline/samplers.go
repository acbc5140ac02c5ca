package pipeline

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/sampler"
)

// samplers is a model's scheduler_config.json as every sampler sees it.
type samplers struct {
	configs map[string]*sampler.Config // of those that can use it
	refused map[string]error           // why the others cannot
}

// readSamplers reads the schedule, which is to be of use to the file's own sampler.
func (m *TextStyle) readSamplers(dir fs.FS) error {
	const name = "scheduler_config.json"
	own, err := sampler.ReadConfig(dir, name, "")
	if err != nil {
		return err
	}
	m.Sampler = own.Name
	switch s := own.Schedule; {
	case s.Distilled > 0:
	case s.Sigmas != sampler.AsSpaced:
		m.Schedule = s.Sigmas.String()
	default:
		m.Schedule = s.Spacing.String()
	}
	m.samplers = samplers{map[string]*sampler.Config{own.Name: own}, make(map[string]error)}
	for _, other := range sampler.Names() {
		if other == own.Name {
			continue
		}
		if as, err := sampler.ReadConfig(dir, name, other); err == nil {
			m.samplers.configs[other] = as
		} else {
			m.samplers.refused[other] = err
		}
	}
	return nil
}

// Samplers returns the names of the samplers that can use the model's schedule, in the order of
// sampler.Names.
func (m *TextStyle) Samplers() []string {
	return slices.DeleteFunc(sampler.Names(), func(name string) bool { return m.samplers.configs[name] == nil })
}

// Schedules returns the names of the schedules that a sampler of the model can follow in place of
// the model's own, of those of sampler.ScheduleNames; none for an unknown sampler.
func (m *TextStyle) Schedules(sampler string) []string {
	if c := m.samplers.configs[strings.ToLower(sampler)]; c != nil {
		return c.Schedules()
	}
	return nil
}

// check says that the model has no such sampler, and why.
func (m *TextStyle) check(sampler string) error {
	switch err := m.samplers.refused[sampler]; {
	case m.samplers.configs[sampler] != nil:
		return nil
	case err != nil:
		return fmt.Errorf("pipeline: sampler %q cannot use the model's schedule (samplers: %s): %w", sampler, strings.Join(m.Samplers(), ", "), err)
	default:
		return fmt.Errorf("pipeline: unknown sampler %q (samplers: %s)", sampler, strings.Join(m.Samplers(), ", "))
	}
}

// plan returns the points and the method of a complete request, and the point that it begins at.
func (m *TextStyle) plan(r Request) (plan *sampler.Plan, first int, err error) {
	config := m.samplers.configs[r.Sampler]
	if r.Schedule != "" {
		if config, err = config.With(r.Schedule); err != nil {
			return nil, 0, fmt.Errorf("pipeline: %w", err)
		}
	}
	if r.From == nil {
		plan, err = config.Plan(r.Steps)
	} else {
		plan, first, err = config.PlanFrom(r.Steps, r.Strength)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("pipeline: %s: %w", r.Sampler, err)
	}
	return plan, first, nil
}

// Doubt says why pictures of a request will hardly be good though nothing is wrong with it, or
// nothing. A request that is in error has no doubts.
//
// Heun's steps are such a reason: one from sigma to sigma' multiplies the difference between the
// estimates at its ends by (sigma-sigma')/(2·sigma'), and where that is large no later step makes up
// for it.
func (m *TextStyle) Doubt(r Request) string {
	const most = 100 // times sigma': above, the embedded model's pictures are nothing but bright colors
	r, err := m.complete(r)
	if err != nil {
		return ""
	}
	plan, first, err := m.plan(r)
	if err != nil {
		return ""
	}
	if _, ok := plan.Method.(sampler.Heun); !ok {
		return ""
	}
	sigma := func(p sampler.Point) float64 { return p.Sigma / p.Alpha }
	for i, to := range plan.Points[first+1:] {
		if from := plan.Points[first+i]; to.Sigma > 0 && sigma(from) > most*sigma(to) {
			return fmt.Sprintf("step %d of %s goes from sigma %.5g to %.5g, too far for its second order; another schedule, or more steps, suits it",
				i+1, r.Sampler, sigma(from), sigma(to))
		}
	}
	return ""
}
