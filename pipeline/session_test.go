package pipeline_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/program"
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
	a := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 1, Steps: 3, Sampler: "euler-ancestral"} // which draws noise on the way
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

// A session convolves as its options say; what they say wrong comes with the first picture.
func TestSessionOptions(t *testing.T) {
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m, err := emoji.Load(e)
	if err != nil {
		t.Fatal(err)
	}
	r := pipeline.Request{Prompt: "red heart", Style: "noto", Steps: 1}
	for forced, want := range map[conv.Algorithm]string{conv.Auto: "winograd4", conv.Winograd2: "winograd2", conv.Direct: "direct"} {
		s := m.Session(pipeline.Options{Conv: conv.Options{Algorithm: forced}})
		s.Measure(true)
		paint(s, r)
		at := slices.IndexFunc(s.Profile(), func(op program.Sample) bool { return op.Name == "up_blocks.1.resnets.0.conv2" })
		if got := s.Profile()[at].How; got != want {
			t.Errorf("%v: by %s, want %s", forced, got, want)
		}
	}
	for _, err := range m.Session(pipeline.Options{}, pipeline.Options{}).Generate(t.Context(), r) {
		modeltest.Says(t, err, "pipeline: unet: session: options given 2 times")
	}
}
