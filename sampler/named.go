package sampler

import "slices"

// A named schedule is a way to spread steps that people can ask for by a name.
type namedSchedule struct {
	name, about string
	spacing     Spacing
	sigmas      Sigmas // if not AsSpaced, the spacing stays as it is
}

var namedSchedules = []namedSchedule{
	{name: "leading", about: "times evenly from the first training step: leaves out the noisiest", spacing: Leading},
	{name: "linspace", about: "times evenly from the last training step to the first", spacing: Linspace},
	{name: "trailing", about: "times evenly from the last training step: leaves out the cleanest", spacing: Trailing},
	{name: "karras", about: "sigmas evenly in their seventh root: many low ones (Karras et al. 2022)", sigmas: Karras},
	{name: "exponential", about: "sigmas evenly in their logarithm: still more low ones", sigmas: Exponential},
	{name: "beta", about: "sigmas by a beta distribution: many at both ends (Lee et al. 2024)", sigmas: Beta},
	{name: "lu", about: "evenly in the logarithm of signal to noise over the whole range (Lu et al. 2022)", sigmas: Lu},
	{name: "log-linear", about: "sigmas evenly in their logarithm over the whole range, times as spaced", sigmas: LogLinear},
}

// ScheduleNames returns the names of all schedules that Config.With knows.
func ScheduleNames() []string {
	names := make([]string, len(namedSchedules))
	for i, s := range namedSchedules {
		names[i] = s.name
	}
	return names
}

// AboutSchedule returns a line about the schedule of a name, or "" for an unknown one.
func AboutSchedule(name string) string {
	for _, s := range namedSchedules {
		if s.name == name {
			return s.about
		}
	}
	return ""
}

// Schedules returns the names of those that the sampler can follow: none where steps are those that
// a model was distilled at, times alone where steps are to be even.
func (c *Config) Schedules() []string {
	names := ScheduleNames()
	switch {
	case c.Schedule.Distilled > 0:
		return nil
	case c.family.class == "PNDMScheduler":
		return names[:slices.Index(names, "trailing")+1]
	}
	return names
}

// set changes to a named schedule.
func (s *Schedule) set(name string) {
	for _, n := range namedSchedules {
		if n.name == name {
			if s.Sigmas = n.sigmas; n.sigmas == AsSpaced {
				s.Spacing = n.spacing
			}
		}
	}
}
