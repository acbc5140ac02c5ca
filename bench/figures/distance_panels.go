package main

import (
	"cmp"
	"slices"

	"gonum.org/v1/plot/plotter"
)

// distancePanel shows the curves of a panel. A method looks the same in every panel.
func distancePanel(all []distance, title, name string) panel {
	p := panel{
		title: title,
		x:     "calls of the model", y: "RMS distance to 1000 steps of DDIM",
		xAxis: axis{low: 3.5, high: 220, log: true, ticks: []float64{4, 8, 10, 16, 20, 32, 50, 100, 200}},
		yAxis: axis{low: 0.0003, high: 1, log: true, ticks: []float64{0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1}},
		rule:  rule{y: 2. / 255, text: "one of 255 levels"},
	}
	var methods []string
	for _, d := range all {
		if d.Panel == onOwnTimes && !slices.Contains(methods, d.Curve) {
			methods = append(methods, d.Curve)
		}
	}
	for _, d := range all {
		if d.Panel != name {
			continue
		}
		i := slices.IndexFunc(p.lines, func(l line) bool { return l.name == d.Curve })
		if i < 0 {
			i = len(p.lines)
			look := slices.Index(methods, d.Curve)
			if look < 0 {
				look = i
			}
			p.lines = append(p.lines, line{name: d.Curve, look: look})
		}
		p.lines[i].points = append(p.lines[i].points, plotter.XY{X: float64(d.Calls), Y: d.RMS})
	}
	for _, l := range p.lines {
		slices.SortFunc(l.points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	}
	return p
}
