package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/tensor"
)

// DDPM is the sampler of "Denoising diffusion probabilistic models" (Ho, Jain and Abbeel, 2020,
// equation 7). With ᾱ = Alpha² and β = 1 - ᾱ/ᾱ', a step is
//
//	x' = Alpha'·β/Sigma²·x0 + √(1-β)·Sigma'²/Sigma²·x + s·z
//
// where s² is the Variance; steps from t = 0 add no noise.
type DDPM struct {
	Reading
	Variance Variance
	Noise    Source                 // where z comes from
	Next     func(from Point) Point // where a step ends, as DDIM's
}

// Variance is what is taken for the variance of the noise that a step of DDPM adds.
type Variance uint8

const (
	// FixedSmall is β̃ = β·Sigma'²/Sigma², right where samples are all one.
	FixedSmall Variance = iota
	// FixedLarge is β, right where samples are noise themselves.
	FixedLarge
	// Learned is what the model says, v.
	Learned
	// LearnedRange is between the two fixed ones, by the model's v from -1 to 1 (Nichol and
	// Dhariwal, 2021, equation 15): log s² = (1+v)/2·log β + (1-v)/2·log β̃.
	LearnedRange
)

// variances are the names that diffusers gives them. The small one by its logarithm is the same; the
// large one by its logarithm is not a number there, and here what it is meant to be.
var variances = map[string]Variance{
	"fixed_small": FixedSmall, "fixed_small_log": FixedSmall,
	"fixed_large": FixedLarge, "fixed_large_log": FixedLarge,
	"learned": Learned, "learned_range": LearnedRange,
}

// Start implements Method.
func (d DDPM) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	d.SaysVariance = d.SaysVariance || d.Variance >= Learned
	m, err := d.start(p, x, points)
	if err == nil {
		err = falling("DDPM", points)
	}
	switch {
	case err != nil:
		return nil, err
	case d.Noise == nil:
		return nil, noSource("DDPM", "Noise", nil)
	case d.Variance > LearnedRange:
		return nil, fmt.Errorf("sampler: unknown variance %d of DDPM", d.Variance)
	}
	z := fresh(x, true)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], end(points, i, d.Next)
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		m.sample(x0, x, m.at(from))
		ratio := from.Alpha / to.Alpha
		beta := 1 - float64(ratio*ratio)
		left := float64(to.Sigma*to.Sigma) / float64(from.Sigma*from.Sigma)
		mean := [...]part{{to.Alpha * beta / float64(from.Sigma*from.Sigma), x0}, {ratio * left, x}, {}}
		if from.T > 0 {
			d.Noise.Noise(z)
			beta := max(beta, 1e-20)
			small := max(beta*left, 1e-20) // they have logarithms
			switch d.Variance {
			case FixedSmall:
				mean[2] = part{math.Sqrt(small), z}
			case FixedLarge:
				mean[2] = part{math.Sqrt(beta), z}
			default:
				if err := d.learned(z, m.answer.Channels(x.C, 2*x.C), small, beta); err != nil {
					return err
				}
				mean[2] = part{1, z}
			}
		}
		sum(x, mean[:]...)
		return nil
	}, nil
}

// learned multiplies noise by the deviation that the model says, v, between the variances small and
// large or by itself.
func (d DDPM) learned(z, v tensor.NHWC, small, large float64) error {
	low, high := portable.Log(small), portable.Log(large)
	for r, zs := 0, z.Tokens(); r < zs.Rows; r++ {
		vs := v.Tokens().Row(r)
		for c, noise := range zs.Row(r) {
			v := float64(vs[c])
			deviation := 0.0
			switch {
			case d.Variance == LearnedRange:
				share := (v + 1) / 2
				deviation = portable.Exp((float64(share*high) + float64((1-share)*low)) / 2)
			case v >= 0:
				deviation = math.Sqrt(v)
			default:
				return fmt.Errorf("the model says that the variance is %g", v)
			}
			zs.Row(r)[c] = float32(deviation * float64(noise))
		}
	}
	return nil
}

func (d DDPM) withNoise(s Source) Method {
	d.Noise = s
	return d
}

// readDDPM reads what is DDPMScheduler's own.
func readDDPM(c *config.Config, _ *Schedule) planner {
	d := DDPM{Reading: readBounds(c, true)}
	if !c.Null("variance_type") { // as files of other classes have it, and the same as FixedSmall
		d.Variance = readNamed(c, "variance_type", "fixed_small", variances)
	}
	return func(s *Schedule, points []Point, even bool) (Method, []Point, error) {
		d := d
		if even {
			d.Next = s.back(points)
		}
		return d, points, nil
	}
}
