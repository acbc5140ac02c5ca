package sampler

import (
	"fmt"
	"io/fs"
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

	method     methodFor
	scaleNoise bool // Plan.NoiseScale is Points[0].Sigma
}

// methodFor returns the method for a run of n steps in all.
type methodFor func(n int) Method

// A Plan is what Steps needs for a number of steps. What a file does not say, such as DDIM's Eta,
// is set on a copy of the Method.
type Plan struct {
	Points []Point
	Method Method

	// NoiseScale is what standard normal noise is multiplied by to begin at Points[0], with
	// nothing of a sample in it.
	NoiseScale float64
}

// family is one of diffusers' schedulers.
type family struct {
	name, class string // what a user calls it; diffusers' class
	read        func(*config.Config, *Schedule) (methodFor, error)
	keys        []string // its own, besides those of readConfig
	sigmaSpace  bool     // samples are kept at x/Alpha there
}

var families = []family{
	{name: "ddim", class: "DDIMScheduler", read: readDDIM, keys: ddimKeys},
	{name: "euler", class: "EulerDiscreteScheduler", read: readEuler, keys: eulerKeys, sigmaSpace: true},
}

// Names returns the names of the samplers that ReadConfig knows: "ddim", "euler".
func Names() []string {
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.name
	}
	return names
}

// ReadConfig reads the named file of fsys. The sampler is one of Names, or diffusers' class, or ""
// for the class in the file; another one than the file's takes the keys that it shares with it, and
// its own defaults for the rest, as diffusers' from_config does.
//
// An error names the key, its value and what is supported.
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

// readConfig reads the keys that all schedulers share, and has the family read its own.
func readConfig(c *config.Config, sampler string) (*Config, error) {
	class := c.String("_class_name", "")
	if sampler == "" {
		sampler = class
	}
	f, ok := findFamily(sampler)
	if !ok {
		if sampler == class {
			c.Fail("_class_name", strings.Join(classes(), ", "))
			return nil, c.Err()
		}
		return nil, fmt.Errorf("unknown sampler %q; there are %s", sampler, strings.Join(Names(), ", "))
	}
	for _, other := range families {
		c.Ignore(other.keys...) // a file may have been another's before
	}
	s := Schedule{Levels: readLevels(c), Offset: c.Int("steps_offset", 0)}
	if err := c.Err(); err != nil {
		return nil, err
	}
	method, err := f.read(c, &s)
	if err != nil {
		return nil, err
	}
	return &Config{
		Name:       f.name,
		Schedule:   s,
		Unknown:    c.Unknown(),
		method:     method,
		scaleNoise: f.sigmaSpace && s.Spacing != Leading,
	}, nil
}

// Plan returns the points and the method of n steps.
func (c *Config) Plan(n int) (*Plan, error) {
	points, err := c.Schedule.Points(n)
	if err != nil {
		return nil, err
	}
	p := &Plan{Points: points, Method: c.method(n), NoiseScale: 1}
	if c.scaleNoise {
		p.NoiseScale = points[0].Sigma
	}
	return p, nil
}

// Begin makes standard normal noise in x a sample at Points[0]: it multiplies by NoiseScale.
func (p *Plan) Begin(x tensor.NHWC) {
	m := x.Tokens()
	for r := range m.Rows {
		row := m.Row(r)
		for c, v := range row {
			row[c] = float32(p.NoiseScale * float64(v))
		}
	}
}

func findFamily(sampler string) (family, bool) {
	for _, f := range families {
		if sampler == f.class || strings.EqualFold(sampler, f.name) {
			return f, true
		}
	}
	return family{}, false
}

func classes() []string {
	all := make([]string, len(families))
	for i, f := range families {
		all[i] = f.class
	}
	return all
}

// readLevels reads the levels that a model was trained at.
func readLevels(c *config.Config) Levels {
	n := c.Size("num_train_timesteps", 1000)
	start, end := readBeta(c, "beta_start", 1e-4), readBeta(c, "beta_end", 0.02)
	kind := c.String("beta_schedule", "linear", "linear", "scaled_linear", "squaredcos_cap_v2")
	zero := c.Bool("rescale_betas_zero_snr", false)
	betas := c.Floats("trained_betas")
	for _, beta := range betas {
		if !(beta > 0 && beta < 1) || len(betas) != n {
			c.Fail("trained_betas", fmt.Sprintf("%d numbers above 0 and below 1, one for each of num_train_timesteps", n))
			break
		}
	}
	if c.Err() != nil {
		return nil
	}
	switch {
	case betas != nil:
	case kind == "linear":
		betas = LinearBetas(n, start, end)
	case kind == "scaled_linear":
		betas = ScaledLinearBetas(n, start, end)
	default:
		betas = CosineBetas(n)
	}
	levels := NewLevels(betas)
	if zero {
		levels = levels.ZeroTerminal()
	}
	return levels
}

func readBeta(c *config.Config, key string, missing float64) float64 {
	beta := c.Float(key, missing)
	if !(beta > 0 && beta < 1) {
		c.Fail(key, "a number above 0 and below 1")
	}
	return beta
}

// readSigma reads an end of the Karras spacing: 0 if there is none.
func readSigma(c *config.Config, key string) float64 {
	sigma := c.Float(key, 0)
	if c.Has(key) && !(sigma > 0) {
		c.Fail(key, "a number above 0, or null")
	}
	return sigma
}

func readPrediction(c *config.Config) Prediction {
	return named[Prediction](predictions[:], c.String("prediction_type", predictions[Epsilon], predictions[:]...))
}

func readSpacing(c *config.Config, missing Spacing) Spacing {
	return named[Spacing](spacings[:], c.String("timestep_spacing", spacings[missing], spacings[:]...))
}

// named returns which of the names it is.
func named[T ~uint8](names []string, name string) T {
	for i, n := range names {
		if n == name {
			return T(i)
		}
	}
	return 0
}
