package sampler

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/lanewise/lanewise/config"
)

// What several schedulers read of a configuration.

// readLevels reads the levels that a model was trained at.
func readLevels(c *config.Config, f *family) Levels {
	n := c.Size("num_train_timesteps", 1000)
	start, end := readBeta(c, "beta_start", f.start), readBeta(c, "beta_end", f.end)
	zero := slices.Contains(f.keys, "rescale_betas_zero_snr") && c.Bool("rescale_betas_zero_snr", false)
	betas := c.Floats("trained_betas")
	kind := ""
	if c.Ignore("beta_schedule"); betas == nil {
		kind = c.String("beta_schedule", f.beta, append([]string{"linear", "scaled_linear", "squaredcos_cap_v2"}, f.betas...)...)
	}
	for _, beta := range betas {
		if !(beta > 0 && beta < 1) || len(betas) != n {
			c.Fail("trained_betas", fmt.Sprintf("%d numbers above 0 and below 1, one for each of num_train_timesteps", n))
			break
		}
	}
	const most = 1 << 20
	if n < 2 || n > most {
		c.Fail("num_train_timesteps", fmt.Sprintf("2 to %d", most))
	}
	if c.Err() != nil {
		return nil
	}
	if betas == nil {
		switch kind {
		case "linear":
			betas = LinearBetas(n, start, end)
		case "scaled_linear":
			betas = ScaledLinearBetas(n, start, end)
		case "sigmoid":
			betas = SigmoidBetas(n, start, end)
		case "exp":
			betas = ExponentialBetas(n)
		default:
			betas = CosineBetas(n)
		}
	}
	levels := NewLevels(betas)
	if zero {
		levels = levels.ZeroTerminal()
		if f.finite {
			// The first sigma is to be finite: 2⁻²⁴ is the least that half precision holds.
			levels[n-1] = 0x1p-24
		}
	}
	// Only a zero-terminal schedule leaves nothing of a sample, and that at its end alone.
	for t, level := range levels {
		if !(level > 0 && level < 1) && !(zero && t == n-1) {
			c.Fail("num_train_timesteps", fmt.Sprintf("fewer of such betas: after training step %d ᾱ is %g", t, level))
			break
		}
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

// readSigmas reads how sigmas are spread. The ends are Euler's options, but diffusers takes them
// from any file for whatever class spreads sigmas.
func readSigmas(c *config.Config, f *family, s *Schedule) {
	on := func(key string) bool { return slices.Contains(f.keys, key) && c.Bool(key, false) }
	// Where there are several, diffusers takes the first of these, and has an error for two of the
	// others but Lu.
	asked := ""
	for _, option := range []struct {
		key    string
		sigmas Sigmas
	}{{"use_karras_sigmas", Karras}, {"use_exponential_sigmas", Exponential}, {"use_beta_sigmas", Beta}} {
		switch {
		case !on(option.key):
		case asked == "":
			s.Sigmas, asked = option.sigmas, option.key
		default:
			c.Fail(option.key, "false with "+asked+" true")
		}
	}
	if on("use_lu_lambdas") && s.Sigmas != Karras {
		s.Sigmas = Lu
	}
	s.MinSigma, s.MaxSigma = readSigma(c, "sigma_min"), readSigma(c, "sigma_max")
}

// readSigma reads an end of the sigmas: 0 if there is none.
func readSigma(c *config.Config, key string) float64 {
	sigma := c.Float(key, 0)
	if c.Has(key) && !isSigma(sigma) {
		c.Fail(key, "a number from 2⁻⁶⁴ to 2⁶⁴, or null")
	}
	return sigma
}

// readFinal says whether the last step ends with the noise of the first training step.
func readFinal(c *config.Config) bool {
	return c.String("final_sigmas_type", "zero", "zero", "sigma_min") == "sigma_min"
}

func readPrediction(c *config.Config) Prediction {
	return named[Prediction](predictions[:], c.String("prediction_type", predictions[Epsilon], predictions[:]...))
}

func readSpacing(c *config.Config, missing Spacing) Spacing {
	return named[Spacing](spacings[:], c.String("timestep_spacing", spacings[missing], spacings[:]...))
}

// readBounds reads a prediction whose x0 is bounded: by a threshold, or else by clipping, which is
// on or off where it is missing.
func readBounds(c *config.Config, missing bool) Reading {
	return Reading{Prediction: readPrediction(c), Threshold: readThreshold(c), Clip: readClip(c, missing)}
}

// readClip reads the bound of clipping, 0 for none.
func readClip(c *config.Config, missing bool) float64 {
	limit := c.Float("clip_sample_range", 1)
	if !(limit > 0 && limit <= math.MaxFloat32) {
		c.Fail("clip_sample_range", "a number above 0")
	}
	if !c.Bool("clip_sample", missing) {
		return 0
	}
	return limit
}

// readThreshold reads dynamic thresholding, whose Quantile is 0 if it is off.
func readThreshold(c *config.Config) Threshold {
	t := Threshold{Quantile: c.Float("dynamic_thresholding_ratio", 0.995), Max: c.Float("sample_max_value", 1)}
	if !(t.Quantile > 0 && t.Quantile <= 1) {
		c.Fail("dynamic_thresholding_ratio", "a number above 0 and at most 1")
	}
	if !(t.Max > 0 && t.Max <= math.MaxFloat32) {
		c.Fail("sample_max_value", "a number above 0")
	}
	if !c.Bool("thresholding", false) {
		return Threshold{}
	}
	return t
}

// readVariance says whether the model says a variance that the method does not use.
func readVariance(c *config.Config) bool {
	kind := c.String("variance_type", "", append(slices.Sorted(maps.Keys(variances)), "")...)
	return kind == "learned" || kind == "learned_range"
}

// readDistilled reads at how many steps a model was distilled.
func readDistilled(c *config.Config, s *Schedule) {
	s.Distilled = c.Size("original_inference_steps", 50)
	if s.Distilled > len(s.Levels) {
		c.Fail("original_inference_steps", fmt.Sprintf("1 to num_train_timesteps, %d", len(s.Levels)))
	}
}

// readNamed reads one of several names.
func readNamed[T any](c *config.Config, key, missing string, names map[string]T) T {
	return names[c.String(key, missing, slices.Sorted(maps.Keys(names))...)]
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
