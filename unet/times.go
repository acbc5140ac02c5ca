package unet

import (
	"fmt"
	"math"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/portable"
)

// features turns times into vectors, the input of the time embedding's network.
type features interface {
	// Embed fills dst for time t.
	Embed(dst []float32, t float64)
}

// loadFeatures makes what the configuration says, and returns how many values it makes of a time.
func loadFeatures(l *blocks.Loader, c *Config) (features, int) {
	const name = "time_proj"
	first := c.Levels[0].Channels
	switch c.TimeKind {
	case FourierTime:
		return &fourier{l.Vector(name+".weight", c.TimeDim/2), false, c.CosFirst}, c.TimeDim
	case LogFourierTime:
		return &fourier{l.Vector(name+".weight", first), true, c.CosFirst}, 2 * first
	case LearnedTime:
		return &learned{l.Table(name, c.TimeSteps, first)}, first
	default:
		return blocks.NewSinusoid(first, c.CosFirst, c.FreqShift), first
	}
}

// fourier has random frequencies that the model was trained with (Tancik et al. 2020, "Fourier
// features let networks learn high frequency functions"): with u = t, or log t,
//
//	y = [sin(2π·u·f) | cos(2π·u·f)]
//
// or the cosines first. Products are rounded to float32 as in diffusers' GaussianFourierProjection.
type fourier struct {
	frequencies []float32
	log         bool
	cosFirst    bool
}

func (f *fourier) Embed(dst []float32, t float64) {
	u := float32(t)
	if f.log {
		u = float32(portable.Log(float64(u)))
	}
	half := len(f.frequencies)
	sin, cos := dst[:half], dst[half:]
	if f.cosFirst {
		sin, cos = cos, sin
	}
	for i, w := range f.frequencies {
		a := float64(float32(float32(float32(u*w)*2) * float32(math.Pi)))
		sin[i], cos[i] = float32(portable.Sin(a)), float32(portable.Cos(a))
	}
}

// learned has a vector for each of the first whole times.
type learned struct{ table *blocks.Table }

func (f *learned) Embed(dst []float32, t float64) { copy(dst, f.table.Row(int(t))) }

// checkTime returns an error unless the model knows the time t, which is finite.
func (c *Config) checkTime(t float64) error {
	switch {
	case c.TimeKind == LearnedTime && (t != math.Trunc(t) || t < 0 || t >= float64(c.TimeSteps)):
		return fmt.Errorf("time %v, want a whole one from 0 to %d: times are learned", t, c.TimeSteps-1)
	case c.TimeKind == LogFourierTime && t <= 0:
		return fmt.Errorf("time %v, want more than 0: the model takes its logarithm", t)
	}
	return nil
}
