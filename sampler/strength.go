package sampler

import "fmt"

// PlanFrom returns the plan of n steps of which image to image makes the last, and the first that it
// makes: AddNoise makes a clean sample one at Points[first], and StepsFrom takes it from there. The
// strength is the share that is made, rounded down as in diffusers, above 0 for little change and at
// most 1; too little for one step is an error.
//
// Two kinds of methods begin at Points[0] of a plan of their own:
//
//   - A consistency model has few steps to leave out: all n are made, among the share of those that it
//     was distilled at that is nearest to the sample (Schedule.Strength; as diffusers'
//     LatentConsistencyModelImg2ImgPipeline does).
//   - PNDM with Runge-Kutta is begun anew by its first steps. diffusers leaves out so many calls of
//     the model, and takes those that follow for the calls of the beginning: its results are wrong by
//     orders of magnitude. For PNDM without, whose runs end a step's noise off by that, it is done here
//     too, so that its pictures are diffusers'.
func (c *Config) PlanFrom(n int, strength float64) (p *Plan, first int, err error) {
	if !(strength > 0 && strength <= 1) {
		return nil, 0, fmt.Errorf("sampler: strength %v, want above 0 and up to 1", strength)
	}
	if c.Schedule.Distilled > 0 {
		share := *c
		share.Schedule.Strength = strength
		p, err = share.Plan(n)
		return p, 0, err
	}
	if p, err = c.Plan(n); err != nil {
		return nil, 0, err
	}
	made := int(float64(n) * strength)
	if first = n - made; made < 1 || first > len(p.Points)-2 {
		return nil, 0, fmt.Errorf("sampler: strength %v of %d steps is no step", strength, n)
	}
	if d, ok := p.Method.(PNDM); ok && d.RungeKutta && first > 0 {
		points, err := c.Schedule.Points(n)
		if err != nil {
			return nil, 0, err
		}
		d.RungeKutta = made >= 4
		if p.Points, err = PNDMPoints(points[first:], d.RungeKutta, d.Stride, d.Level); err != nil {
			return nil, 0, err
		}
		p.Method, first = d, 0
	}
	return p, first, nil
}
