package golden_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// unetInputs are the inputs of U-Nets and ControlNets that these runners know, but for numbered ones.
var unetInputs = []string{"in.sample", "in.timestep", "in.ctx", "in.class_labels", "in.encoder_attention_mask",
	"in.added_text_embeds", "in.added_image_embeds", "in.added_time_ids", "in.timestep_cond", "in.image_embeds", "in.mid", "in.controlnet_cond"}

// inputs reads all inputs of a case.
func inputs(c *golden.Case) (map[string]golden.Tensor, error) {
	in := make(map[string]golden.Tensor)
	for _, name := range c.Tensors("in.") {
		if !slices.Contains(unetInputs, name) && !strings.HasPrefix(name, "in.down.") && !strings.HasPrefix(name, "in.feat.") {
			return nil, unsupported("a U-Net does not take " + name + " yet")
		}
		t, err := c.Float32(name)
		if err != nil {
			return nil, err
		}
		in[name] = t
	}
	return in, nil
}

// runUNet runs a UNet2DConditionModel or a UNet2DModel forward.
func runUNet(e *engine.Engine, c *golden.Case) error {
	in, err := inputs(c)
	if err != nil {
		return err
	}
	m, err := unet.Load(e, c.Model())
	if err != nil {
		return err
	}
	x := image(in["in.sample"])
	conds, err := conditions(in, x.N)
	if err != nil {
		return err
	}
	if k := &m.Config; !k.Attends() && k.PooledKind != unet.PooledTokens {
		for i := range conds {
			conds[i].Context = nil // diffusers wants one all the same
		}
	}
	if c.Has("in.image_embeds") {
		if m, err = adapt(e, c, m, conds); err != nil {
			return err
		}
	}
	session, err := m.Session(x.N, x.H, x.W, c.Options)
	if err != nil {
		return err
	}
	bound, err := session.Bind(conds...)
	if err != nil {
		return err
	}
	out := tensor.Make(x.N, x.H, x.W, m.Config.OutChannels)
	var seen trace
	if err := observed(session.Program(), &seen, func() error {
		return bound.ForwardEach(context.Background(), out, x, timesOf(in["in.timestep"], x.N))
	}); err != nil {
		return err
	}
	if err := check(c, map[string]golden.Tensor{"out.sample": nchw(out)}); err != nil {
		return fmt.Errorf("%w\n%s", err, seen.firstOff(c))
	}
	return nil
}

// runControlNet runs a ControlNetModel.
func runControlNet(e *engine.Engine, c *golden.Case) error {
	in, err := inputs(c)
	if err != nil {
		return err
	}
	net, err := unet.LoadControlNet(e, c.Model())
	if err != nil {
		return err
	}
	x := image(in["in.sample"])
	conds, err := conditions(in, x.N)
	if err != nil {
		return err
	}
	session, err := net.Session(x.N, x.H, x.W, c.Options)
	if err != nil {
		return err
	}
	bound, err := session.Bind(image(in["in.controlnet_cond"]), conds...)
	if err != nil {
		return err
	}
	var params struct {
		Scale float32 `json:"conditioning_scale"`
		Guess bool    `json:"guess_mode"`
	}
	if c.Params != nil {
		if err := json.Unmarshal(c.Params, &params); err != nil {
			return fmt.Errorf("params: %w", err)
		}
	}
	bound.Scale, bound.Guess = params.Scale, params.Guess
	var seen trace
	if err := observed(session.Program(), &seen, func() error {
		return bound.ForwardEach(context.Background(), x, timesOf(in["in.timestep"], x.N))
	}); err != nil {
		return err
	}
	r := session.Residual(0, x.N)
	got := map[string]golden.Tensor{"out.mid": nchw(r.Mid)}
	for i, skip := range r.Skips {
		got[fmt.Sprintf("out.down.%d", i)] = nchw(skip)
	}
	if err := check(c, got); err != nil {
		return fmt.Errorf("%w\n%s", err, seen.firstOff(c))
	}
	return nil
}

// timesOf returns the time of each of n images.
func timesOf(t golden.Tensor, n int) []float64 {
	times := make([]float64, n)
	for i := range times {
		times[i] = float64(t.Data[i%len(t.Data)])
	}
	return times
}

// conditions makes the condition of each of n images.
func conditions(in map[string]golden.Tensor, n int) ([]cond.Cond, error) {
	conds := make([]cond.Cond, n)
	if t, ok := in["in.ctx"]; ok {
		all := rows(t)
		each := all.Rows / n
		for i := range conds {
			conds[i].Context = []cond.Context{{Tokens: all.Slice(i*each, (i+1)*each)}}
		}
	}
	if t, ok := in["in.encoder_attention_mask"]; ok {
		seen := rows(t)
		for i := range conds {
			mask := make([]float32, seen.Cols)
			for k, see := range seen.Row(i) {
				mask[k] = (1 - see) * -10000
			}
			conds[i].Context[0].Mask = mask
		}
	}
	if t, ok := in["in.class_labels"]; ok {
		for i := range conds {
			if len(t.Shape) == 1 {
				conds[i].Class = int(t.Data[i])
			} else {
				conds[i].Vector = rows(t).Row(i)
			}
		}
	}
	for _, name := range []string{"in.added_text_embeds", "in.added_image_embeds"} { // a text's before an image's
		if t, ok := in[name]; ok {
			for i := range conds {
				conds[i].Pooled = append(conds[i].Pooled, rows(t).Row(i)...)
			}
		}
	}
	for i := range conds {
		if t, ok := in["in.added_time_ids"]; ok {
			for _, v := range rows(t).Row(i) {
				conds[i].Sizes = append(conds[i].Sizes, float64(v))
			}
		}
		if t, ok := in["in.timestep_cond"]; ok {
			conds[i].Guidance = rows(t).Row(i)
		}
		var r cond.Residual
		for k := 0; ; k++ {
			t, ok := in[fmt.Sprintf("in.down.%d", k)]
			if !ok {
				break
			}
			r.Skips = append(r.Skips, image(t).Images(i, i+1))
		}
		for k := 0; ; k++ {
			t, ok := in[fmt.Sprintf("in.feat.%d", k)]
			if !ok {
				break
			}
			r.Levels = append(r.Levels, image(t).Images(i, i+1))
		}
		if t, ok := in["in.mid"]; ok {
			r.Mid = image(t).Images(i, i+1)
		}
		conds[i].Residual = []cond.Residual{r}
	}
	return conds, nil
}

// adapt gives a U-Net the case's image prompt, and each condition the tokens of its pictures.
func adapt(e *engine.Engine, c *golden.Case, m *unet.Model, conds []cond.Cond) (*unet.Model, error) {
	ip, tokens, scale, err := imagePrompt(e, c)
	if err != nil {
		return nil, err
	}
	for i := range conds {
		if conds[i], err = cond.Join(conds[i], cond.Image(1, tokens[i], scale)); err != nil {
			return nil, err
		}
	}
	return m.Adapt(ip)
}
