package golden_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/tensor"
)

// trace is what the ops of a program gave, in order.
type trace []struct {
	name string
	out  tensor.NHWC
}

// add is a program's observer.
func (t *trace) add(name string, out tensor.NHWC) {
	kept := tensor.Make(out.N, out.H, out.W, out.C)
	tensor.Copy(kept, out)
	*t = append(*t, struct {
		name string
		out  tensor.NHWC
	}{name, kept})
}

// firstOff compares the modules that the case stores with what the last op of each gave, and says
// which is off first. An activation that follows a module may be part of it here. An op that gives something
// of another size gives not what its module does, as that of a norm which the next op applies.
func (t trace) firstOff(c *golden.Case) string {
	right := "the inputs"
	for _, o := range c.Outputs {
		module, ok := strings.CutPrefix(o.Name, "act.")
		if !ok {
			continue
		}
		want, err := c.Float32(o.Name)
		if err != nil {
			return err.Error()
		}
		last := -1
		for i, op := range t {
			if (op.name == module || strings.HasPrefix(op.name, module+".")) && len(op.out.Data) == len(want.Data) {
				last = i
			}
		}
		if last < 0 {
			continue
		}
		within := func(float64) float64 { return o.Atol }
		got := golden.Tensor{Shape: want.Shape, Data: t[last].out.Data}
		if len(want.Shape) == 4 {
			got = planes(t[last].out, want.Shape)
		}
		if err := want.Compare(got, within); err != nil && !sameActivated(want, got, within) {
			return fmt.Sprintf("first off: %s, whose last op is %s: %v\nlast right: %s", module, t[last].name, err, right)
		}
		right = module
	}
	return "no stored module is off; last right: " + right
}

// sameActivated says whether got is want with an activation.
func sameActivated(want, got golden.Tensor, within func(float64) float64) bool {
	for _, name := range []string{"silu", "gelu"} {
		activated := golden.Tensor{Shape: want.Shape, Data: make([]float32, len(want.Data))}
		for i, v := range want.Data {
			activated.Data[i] = float32(ref.Acts[name](float64(v)))
		}
		if activated.Compare(got, within) == nil {
			return true
		}
	}
	return false
}

// textInputs are the inputs that runText knows.
var textInputs = []string{"in.input_ids", "in.position_ids", "in.attention_mask"}

// runText runs a CLIPTextModel or CLIPTextModelWithProjection.
func runText(e *engine.Engine, c *golden.Case) error {
	in := make(map[string][][]int)
	for _, name := range c.Tensors("in.") {
		if !slices.Contains(textInputs, name) {
			return unsupported("a text encoder does not take " + name + " yet")
		}
		t, err := c.Float32(name)
		if err != nil {
			return err
		}
		for m, r := rows(t), 0; r < m.Rows; r++ {
			ints := make([]int, m.Cols)
			for i, v := range m.Row(r) {
				ints[i] = int(v)
			}
			in[name] = append(in[name], ints)
		}
	}
	m, err := clip.LoadText(e, c.Model())
	if err != nil {
		return err
	}
	options := clip.TextOptions{Positions: in["in.position_ids"], Hidden: true}
	for _, row := range in["in.attention_mask"] {
		seen := make([]bool, len(row))
		for i, v := range row {
			seen[i] = v != 0
		}
		options.Mask = append(options.Mask, seen)
	}
	out, err := m.Encode(context.Background(), in["in.input_ids"], options)
	if err != nil {
		return err
	}
	states := func(m tensor.Mat) golden.Tensor {
		return golden.Tensor{Shape: []int{m.Rows / out.Tokens, out.Tokens, m.Cols}, Data: m.Data}
	}
	whole := func(m tensor.Mat) golden.Tensor { return golden.Tensor{Shape: []int{m.Rows, m.Cols}, Data: m.Data} }
	got := map[string]golden.Tensor{
		"out.last_hidden_state": states(out.States),
		"out.pooler_output":     whole(out.Pooled),
		"out.text_embeds":       whole(out.Embedding),
	}
	for i, h := range out.Hidden {
		got[fmt.Sprintf("out.hidden.%d", i)] = states(h)
	}
	return check(c, got)
}
