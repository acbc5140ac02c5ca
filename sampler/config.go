package sampler

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// Config is a scheduler_config.json of diffusers: the schedule of a model, and the method that
// samples from it.
type Config struct {
	Name     string // of the sampler, one of Names
	Schedule Schedule
	Unknown  []string // keys of the file that no sampler knows, and so have no effect

	plan       planner
	family     *family
	scaleNoise bool // Plan.NoiseScale is not 1
}

// A planner returns the method for a run over points of a schedule, and the points as the method
// wants them. The points are even where the schedule has chosen so many of its times, rather than
// somebody else.
type planner func(s *Schedule, points []Point, even bool) (Method, []Point, error)

// A Plan is what Steps needs for a number of steps. What a file does not say, such as DDIM's Eta,
// is set on a copy of the Method; WithNoise gives it a source of noise, which those that add noise
// need.
type Plan struct {
	Points []Point
	Method Method

	// NoiseScale is what standard normal noise is multiplied by to begin at Points[0], with
	// nothing of a sample in it.
	NoiseScale float64
}

// ReadConfig reads the named file of fsys. The sampler is one of Names, or diffusers' class, or ""
// for the class in the file. Another one than the file's takes the keys that it shares with it, and
// its own defaults for the rest, as diffusers' from_config does.
//
// An error names the key, its value and what is supported. An option that the file's own class does
// not have is an error where it asks for something, and is of no effect where it is off: files have
// options of classes that they were made for before.
func ReadConfig(fsys fs.FS, name, sampler string) (*Config, error) {
	c, err := config.Open(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("sampler: %w", err)
	}
	read, err := readConfig(c, sampler)
	if err != nil {
		return nil, fmt.Errorf("sampler: %w", err)
	}
	return read, nil
}

// readConfig finds the family, and has it read its keys.
func readConfig(c *config.Config, sampler string) (*Config, error) {
	class := c.String("_class_name", "")
	own := sampler == "" || sampler == class
	if own {
		sampler = class
	}
	f := findFamily(sampler)
	if f == nil {
		if own {
			c.Fail("_class_name", strings.Join(classes(), ", "))
			return nil, c.Err()
		}
		return nil, fmt.Errorf("unknown sampler %q; there are %s", sampler, strings.Join(Names(), ", "))
	}
	for key, value := range f.preset {
		c.Set(key, value)
	}
	if class == f.class {
		f.refuse(c)
	}
	for _, other := range families {
		c.Ignore(other.keys...)
	}
	s := Schedule{Levels: readLevels(c, f), Offset: c.Int("steps_offset", 0)}
	s.Spacing = readSpacing(c, f.spacing)
	s.Fractional = f.sigmaSpace
	if err := c.Err(); err != nil {
		return nil, err
	}
	readSigmas(c, f, &s)
	plan := f.read(c, &s)
	if err := c.Err(); err != nil {
		return nil, err
	}
	read := &Config{Name: f.name, Schedule: s, Unknown: c.Unknown(), plan: plan, family: f}
	read.scaleNoise = f.sigmaSpace && s.Spacing != Leading
	return read, nil
}

// Plan returns the points and the method of n steps.
func (c *Config) Plan(n int) (*Plan, error) {
	points, err := c.Schedule.Points(n)
	if err != nil {
		return nil, err
	}
	return c.over(points, c.Schedule.Sigmas == AsSpaced && c.Schedule.Distilled == 0)
}

// PlanAt returns the points and the method of steps from given times, which fall (diffusers' custom
// timesteps): training steps, or between them where the method is one of sigma space.
func (c *Config) PlanAt(times []float64) (*Plan, error) {
	points, err := c.Schedule.PointsAt(times)
	if err != nil {
		return nil, err
	}
	return c.over(points, false)
}

// PlanOf returns the points and the method of steps from one to the next of given sigmas, which
// fall, the last to 0 or above (diffusers' custom sigmas).
func (c *Config) PlanOf(sigmas []float64) (*Plan, error) {
	points, err := c.Schedule.PointsOf(sigmas)
	if err != nil {
		return nil, err
	}
	return c.over(points, false)
}

// over returns the plan of steps over points.
func (c *Config) over(points []Point, even bool) (*Plan, error) {
	p := &Plan{NoiseScale: 1}
	if c.scaleNoise {
		// The highest sigma is the first, but for zero-terminal schedules whose last level is 2⁻²⁴: as
		// in diffusers, noise is scaled for the highest anyway.
		highest := 0.0
		for _, q := range points {
			highest = max(highest, q.ratio())
		}
		p.NoiseScale = float64(highest * points[0].Alpha)
	}
	var err error
	p.Method, p.Points, err = c.plan(&c.Schedule, points, even)
	return p, err
}

// Begin makes standard normal noise in x a sample at Points[0]: it multiplies by NoiseScale.
func (p *Plan) Begin(x tensor.NHWC) { sum(x, part{p.NoiseScale, x}) }

// With returns a configuration with another schedule: one of Schedules. An error says which ones
// the sampler has.
func (c *Config) With(schedule string) (*Config, error) {
	if own := c.Schedules(); !slices.Contains(own, strings.ToLower(schedule)) {
		switch {
		case len(own) == 0:
			return nil, fmt.Errorf("sampler: %s has no schedules: its steps are among those that the model was distilled at", c.Name)
		case slices.Contains(ScheduleNames(), strings.ToLower(schedule)):
			return nil, fmt.Errorf("sampler: %s has no schedule %q; it has %s", c.Name, schedule, strings.Join(own, ", "))
		}
		return nil, fmt.Errorf("sampler: unknown schedule %q; there are %s", schedule, strings.Join(ScheduleNames(), ", "))
	}
	with := *c
	with.Schedule.set(strings.ToLower(schedule))
	with.scaleNoise = c.family.sigmaSpace && with.Schedule.Spacing != Leading
	return &with, nil
}
