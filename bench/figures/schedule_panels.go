package main

import (
	"embed"
	"math"

	"github.com/lanewise/lanewise/sampler"
	"gonum.org/v1/plot/plotter"
)

// files has the scheduler_config.json of Stable Diffusion 1.
//
//go:embed stable-diffusion.json
var files embed.FS

// sigmasPanel shows the sigmas of every named schedule.
func sigmasPanel() (panel, error) {
	const steps = 20
	p := panel{
		title: "sigma of 20 steps, levels of Stable Diffusion",
		x:     "step", y: "sigma = noise / sample",
		xAxis: axis{low: -0.5, high: steps - 0.5, ticks: []float64{0, 5, 10, 15, 19}},
		yAxis: axis{low: 0.02, high: 20, log: true, ticks: []float64{0.03, 0.1, 0.3, 1, 3, 10}},
	}
	config, err := sampler.ReadConfig(files, "stable-diffusion.json", "euler")
	if err != nil {
		return p, err
	}
	for _, name := range sampler.ScheduleNames() {
		with, err := config.With(name)
		if err != nil {
			return p, err
		}
		plan, err := with.Plan(steps)
		if err != nil {
			return p, err
		}
		l := line{name: name, look: len(p.lines)}
		for i, at := range plan.Points[:steps] {
			l.points = append(l.points, plotter.XY{X: float64(i), Y: at.Sigma / at.Alpha})
		}
		p.lines = append(p.lines, l)
	}
	return p, nil
}

// levelsPanel shows the levels that betas of every kind make.
func levelsPanel() panel {
	const train = 1000
	p := panel{
		title: "log of signal to noise over the time of training",
		x:     "t", y: "log(Alpha² / Sigma²)",
		xAxis: axis{low: 0, high: train, ticks: []float64{0, 200, 400, 600, 800, 1000}},
		yAxis: axis{low: -16, high: 12, ticks: []float64{-15, -10, -5, 0, 5, 10}},
	}
	latent := sampler.NewLevels(sampler.ScaledLinearBetas(train, 0.00085, 0.012))
	for _, kind := range []struct {
		name   string
		levels sampler.Levels
	}{
		{"linear, 0.0001 to 0.02", sampler.NewLevels(sampler.LinearBetas(train, 1e-4, 0.02))},
		{"scaled_linear, 0.00085 to 0.012", latent},
		{"the same, zero-terminal", latent.ZeroTerminal()},
		{"squaredcos_cap_v2", sampler.NewLevels(sampler.CosineBetas(train))},
		{"sigmoid, 0.0001 to 0.02", sampler.NewLevels(sampler.SigmoidBetas(train, 1e-4, 0.02))},
		{"exp", sampler.NewLevels(sampler.ExponentialBetas(train))},
	} {
		l := line{name: kind.name, plain: true, look: len(p.lines)}
		for t := range kind.levels {
			at := kind.levels.At(t)
			if ratio := 2 * math.Log(at.Alpha/at.Sigma); t%5 == 0 || t == train-1 {
				l.points = append(l.points, plotter.XY{X: float64(t), Y: max(ratio, p.yAxis.low-1)})
			}
		}
		p.lines = append(p.lines, l)
	}
	return p
}
