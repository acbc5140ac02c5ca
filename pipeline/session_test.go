package pipeline_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/pipeline"
)

// hooked is a context that calls a function whenever it is looked at.
type hooked struct {
	context.Context
	look func()
}

func (h hooked) Err() error {
	h.look()
	return h.Context.Err()
}

// Two pictures that a session makes in turns are those that it makes one after the other.
func TestGenerateInTurns(t *testing.T) {
	s, done := session()
	defer done()
	a := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 1, Steps: 3}
	b := pipeline.Request{Prompt: "frog", Style: "flat", Seed: 2, Steps: 3}
	wants := [][]uint8{paint(s, a).Pix, paint(s, b).Pix}

	first, stopFirst := iter.Pull2(s.Generate(t.Context(), a))
	defer stopFirst()
	second, stopSecond := iter.Pull2(s.Generate(t.Context(), b))
	defer stopSecond()
	for range 3 {
		for i, next := range []func() (pipeline.Step, error, bool){first, second} {
			step, err, ok := next()
			if err != nil || !ok {
				t.Fatalf("picture %d: %v, %v", i, ok, err)
			}
			if step.Done() && !slices.Equal(step.Picture().Pix, wants[i]) {
				t.Errorf("picture %d is another one", i)
			}
		}
	}
}

// A session that is in use says so to others, and works on.
func TestGenerateInUse(t *testing.T) {
	s, done := session()
	defer done()
	r := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 1, Steps: 1}
	want := paint(s, r).Pix
	refused, within := 0, false
	ctx := hooked{t.Context(), func() {
		if within {
			return
		}
		within = true
		defer func() { within = false }()
		for _, err := range s.Generate(t.Context(), r) {
			if err != nil && strings.Contains(err.Error(), "pipeline: the session is in use") {
				refused++
			}
			break
		}
	}}
	for step, err := range s.Generate(ctx, r) {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(step.Picture().Pix, want) {
			t.Error("another picture")
		}
	}
	if refused == 0 {
		t.Error("nobody was refused")
	}
}

// Guidance 1 asks the model once a step, others once under each condition.
func TestGenerateCost(t *testing.T) {
	flop := func(guidance float64) (total float64) {
		s, done := session()
		defer done()
		s.Measure(true)
		paint(s, pipeline.Request{Prompt: "red heart", Style: "noto", Steps: 1, Guidance: guidance})
		for _, op := range s.Profile() {
			total += op.Cost.FLOP
		}
		return total
	}
	if plain, guided := flop(1), flop(2); plain == 0 || guided < 1.9*plain {
		t.Errorf("%g operations, guided %g", plain, guided)
	}
}
