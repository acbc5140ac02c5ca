package golden_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/dit"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/tensor"
)

// patchInputs are the places of entry that runPatches knows.
var patchInputs = []string{"in.sample", "in.timestep", "in.class_labels", "in.ctx", "in.encoder_attention_mask", "in.resolution", "in.aspect_ratio"}

// runPatches runs a transformer over patches forward.
func runPatches(e *engine.Engine, c *golden.Case) error {
	in := make(map[string]golden.Tensor)
	for _, name := range c.Tensors("in.") {
		if !slices.Contains(patchInputs, name) {
			return unsupported("a transformer over patches does not take " + name + " yet")
		}
		t, err := c.Float32(name)
		if err != nil {
			return err
		}
		in[name] = t
	}
	m, err := dit.Load(e, c.Model())
	if err != nil {
		return err
	}
	x := image(in["in.sample"])
	session, err := m.Session(x.N, x.H, x.W)
	if err != nil {
		return err
	}
	bound, err := session.Bind(patchConditions(in, x.N)...)
	if err != nil {
		return err
	}
	times := make([]float64, x.N)
	for i := range times {
		t := in["in.timestep"].Data
		times[i] = float64(t[i%len(t)])
	}
	out := tensor.Make(x.N, x.H, x.W, m.Config.OutChannels)
	forward := func() error { return bound.ForwardEach(context.Background(), out, x, times) }
	if err := forward(); err != nil {
		return err
	}
	got := map[string]golden.Tensor{"out.sample": planes(out, []int{out.N, out.C, out.H, out.W})}
	if err := check(c, got); err != nil {
		var seen trace
		session.Program().Observe(func(name string, out tensor.NHWC) {
			if name != "norm_out" { // which is modulated in one op here
				seen.add(name, out)
			}
		})
		if err := forward(); err != nil {
			return err
		}
		return fmt.Errorf("%w\n%s", err, seen.firstOff(c))
	}
	return nil
}

// patchConditions makes the condition of each of n images.
func patchConditions(in map[string]golden.Tensor, n int) []cond.Cond {
	conds := make([]cond.Cond, n)
	for i := range conds {
		if t, ok := in["in.ctx"]; ok {
			all := rows(t)
			each := all.Rows / n
			conds[i].Context = []cond.Context{{Tokens: all.Slice(i*each, (i+1)*each)}}
		}
		if t, ok := in["in.encoder_attention_mask"]; ok {
			for _, see := range rows(t).Row(i) {
				conds[i].Context[0].Mask = append(conds[i].Context[0].Mask, (1-see)*-10000)
			}
		}
		if t, ok := in["in.class_labels"]; ok {
			conds[i].Class = int(t.Data[i])
		}
		for _, name := range []string{"in.resolution", "in.aspect_ratio"} {
			if t, ok := in[name]; ok {
				for _, size := range rows(t).Row(i) {
					conds[i].Sizes = append(conds[i].Sizes, float64(size))
				}
			}
		}
	}
	return conds
}
