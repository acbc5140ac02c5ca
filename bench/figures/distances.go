package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"testing/fstest"

	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// A distance is how far the pictures of a number of steps are from those of the reference.
type distance struct {
	Panel string // that the curve is in
	Curve string
	Steps int
	Calls int     // of the model, for a picture
	RMS   float64 // root mean square over all values of all pictures, which are from -1 to 1
	Worst float64 // that of the picture with the largest
}

// A curve is a way to sample, over which the number of steps varies.
type curve struct {
	panel, name string
	sampler     string         // one of sampler.Names
	schedule    string         // one of sampler.ScheduleNames, or "" for the model's own
	options     map[string]any // of scheduler_config.json, where they differ from the model's
	steps       []int          // numbers of them
	fit         bool           // sampler.DDIM's FitNoise, which no file says
}

// reference is what distances are from: DDIM, which the model's file has not clip x0, in as many steps as
// the model was trained at.
var reference = curve{sampler: "ddim"}

const referenceSteps = 1000

// prompts are drawn from the seeds 0, 1, ….
var prompts = []string{"red heart", "blue apple", "panda", "rocket", "grinning face", "frog", "sunflower", "doughnut"}

// counts are numbers of steps. They divide the training steps: by others DDIM and PNDM go back in strides
// that are rounded down, as in diffusers, and do not end where the next step begins.
var counts = []int{4, 5, 8, 10, 20, 25, 40, 50, 100}

// The panels that distances are drawn in.
const (
	onOwnTimes  = "own times" // those of the model's file
	onKarras    = "karras"    // from sigma 80 to 0.01
	onSchedules = "schedules" // of sampler.ScheduleNames, with DPM-Solver++
	clipping    = "clipping"  // by DDIM
)

// curves returns all that is measured, in the order of the legends.
func curves() []curve {
	third := map[string]any{"solver_order": 3}
	clipped := map[string]any{"clip_sample": true}
	karras := map[string]any{"use_karras_sigmas": true, "sigma_max": 80, "sigma_min": 0.01}
	thirdKarras := maps.Clone(karras)
	maps.Copy(thirdKarras, third)
	all := []curve{
		{panel: onOwnTimes, name: "ddim", sampler: "ddim"},
		{panel: onOwnTimes, name: "euler", sampler: "euler"},
		{panel: onOwnTimes, name: "heun", sampler: "heun"},
		{panel: onOwnTimes, name: "pndm", sampler: "pndm", options: map[string]any{"skip_prk_steps": true}},
		{panel: onOwnTimes, name: "dpm", sampler: "dpm"},
		{panel: onOwnTimes, name: "dpm++", sampler: "dpm++"},
		{panel: onOwnTimes, name: "dpm++3m", sampler: "dpm++3m"},
		{panel: onOwnTimes, name: "unipc", sampler: "unipc"},
		{panel: onOwnTimes, name: "unipc, order 3", sampler: "unipc", options: third},

		{panel: onKarras, name: "euler", sampler: "euler", options: karras},
		{panel: onKarras, name: "heun", sampler: "heun", options: karras},
		{panel: onKarras, name: "dpm", sampler: "dpm", options: karras},
		{panel: onKarras, name: "dpm++", sampler: "dpm++", options: karras},
		{panel: onKarras, name: "dpm++3m", sampler: "dpm++3m", options: karras},
		{panel: onKarras, name: "unipc", sampler: "unipc", options: karras},
		{panel: onKarras, name: "unipc, order 3", sampler: "unipc", options: thirdKarras},
	}
	for _, schedule := range sampler.ScheduleNames() {
		all = append(all, curve{panel: onSchedules, name: schedule, sampler: "dpm++", schedule: schedule})
	}
	all = append(all,
		curve{panel: clipping, name: "not clipped", sampler: "ddim"},
		curve{panel: clipping, name: "clipped", sampler: "ddim", options: clipped},
		curve{panel: clipping, name: "clipped, with FitNoise", sampler: "ddim", options: clipped, fit: true})
	for i := range all {
		all[i].steps = counts
		if all[i].panel == onKarras || all[i].panel == onSchedules {
			all[i].steps = counts[:len(counts)-1]
		}
	}
	return all
}

// plan returns the plan of n steps.
func (c curve) plan(n int) (*sampler.Plan, error) {
	const name = "scheduler_config.json"
	data, err := fs.ReadFile(emoji.Files(), "scheduler/"+name)
	if err != nil {
		return nil, err
	}
	options := map[string]any{}
	if err := json.Unmarshal(data, &options); err != nil {
		return nil, err
	}
	maps.Copy(options, c.options)
	if data, err = json.Marshal(options); err != nil {
		return nil, err
	}
	config, err := sampler.ReadConfig(fstest.MapFS{name: {Data: data}}, name, c.sampler)
	if err == nil && c.schedule != "" {
		config, err = config.With(c.schedule)
	}
	if err != nil {
		return nil, err
	}
	plan, err := config.Plan(n)
	if err == nil && c.fit {
		method := plan.Method.(sampler.DDIM)
		method.FitNoise = true
		plan.Method = method
	}
	return plan, err
}

// measure returns the distances of curves from a reference, and tells progress of each.
func (p *painter) measure(curves []curve, reference curve, referenceSteps int, progress func(distance)) ([]distance, error) {
	want, _, err := p.run(reference, referenceSteps)
	if err != nil {
		return nil, fmt.Errorf("the reference: %w", err)
	}
	var all []distance
	for _, c := range curves {
		for _, n := range c.steps {
			got, calls, err := p.run(c, n)
			if err != nil {
				return nil, fmt.Errorf("%s, %d steps: %w", c.name, n, err)
			}
			d := distance{Panel: c.panel, Curve: c.name, Steps: n, Calls: calls}
			d.RMS, d.Worst = difference(got, want)
			all = append(all, d)
			progress(d)
		}
	}
	return all, nil
}

// run makes the pictures of a curve in n steps.
func (p *painter) run(c curve, n int) (x tensor.NHWC, calls int, err error) {
	plan, err := c.plan(n)
	if err != nil {
		return tensor.NHWC{}, 0, err
	}
	return p.paint(plan)
}

// difference returns the root mean square of what two batches of images differ by, and that of the
// image where it is the largest.
func difference(a, b tensor.NHWC) (all, worst float64) {
	squares := make([]float64, a.N)
	for i := range squares {
		u, v := a.Images(i, i+1).Tokens(), b.Images(i, i+1).Tokens()
		for r := range u.Rows {
			for c, value := range u.Row(r) {
				d := float64(value) - float64(v.Row(r)[c])
				squares[i] += d * d
			}
		}
		all += squares[i]
	}
	values := float64(a.H * a.W * a.C)
	return math.Sqrt(all / (float64(a.N) * values)), math.Sqrt(slices.Max(squares) / values)
}
