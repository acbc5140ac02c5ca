package modeltest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Canceled returns a context that is canceled when it was looked at n times.
func Canceled(ctx context.Context, n int) context.Context { return &countdown{ctx, n} }

type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// StopsWithinOneOp checks that a session's program stops between any two ops where its context is canceled,
// and then leaves what the session writes to as it was. run runs it.
func StopsWithinOneOp(t *testing.T, p *program.Program, run func(ctx context.Context) error, outs ...tensor.NHWC) {
	t.Helper()
	ran := 0
	p.Observe(func(string, tensor.NHWC) { ran++ })
	defer p.Observe(nil)
	ops := len(p.Names())
	for n := range ops {
		ran = 0
		for _, out := range outs {
			kerneltest.Fill(out.Data)
		}
		if err := run(Canceled(t.Context(), n)); !errors.Is(err, context.Canceled) {
			t.Fatalf("canceled after %d ops: error %v", n, err)
		}
		if ran != n {
			t.Errorf("canceled after %d ops, %d ran", n, ran)
		}
		for _, out := range outs {
			for i, v := range out.Data {
				if !kerneltest.Untouched(v) {
					t.Fatalf("canceled after %d ops: value %d of the output was written", n, i)
				}
			}
		}
	}
	if err := run(Canceled(t.Context(), ops)); err != nil {
		t.Errorf("canceled after the last op: %v", err)
	}
}

// OneUser checks that a session says so that is used while its program runs, and is free afterwards. run
// runs it.
func OneUser(t *testing.T, p *program.Program, run func() error) {
	t.Helper()
	tried := false
	p.Observe(func(string, tensor.NHWC) {
		if !tried {
			tried = true
			if err := run(); err == nil || !strings.HasSuffix(err.Error(), ": the session is in use") {
				t.Errorf("a run within a run: error %v", err)
			}
		}
	})
	defer p.Observe(nil)
	for range 2 {
		if err := run(); err != nil || !tried {
			t.Errorf("tried a run within a run: %t; error %v", tried, err)
		}
	}
}

// Says checks that there is an error that holds all texts.
func Says(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
}
