// Package denoiser holds what the sessions of denoising models have in common, whatever the network: the
// operands of a run, the checks of operands and conditions, and the keys and values of contexts.
//
// A session has a [Run], which reads and checks what is the same in all models, and is told by a [Model]
// what is not.
package denoiser

import (
	"fmt"
	"sync/atomic"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/size"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Model is what a Run has to know of its model.
type Model struct {
	Name string // errors begin with it
	// Channels of the input, with those of cond.Cond's Concat, and of the output, 0 for a model without one.
	InChannels, OutChannels int
	// Tokens are how many columns the tokens of a context have, for each slot.
	Tokens []int

	// CheckTime returns an error unless the model knows a time, which is finite. nil knows all.
	CheckTime func(t float64) error
	// Check returns an error unless the model has a place for all that c has, and c has all that the
	// model wants, for so many images. The contexts themselves, the size of Concat, and whether values are
	// finite are not looked at: Bind does, afterwards.
	Check func(c *cond.Cond, images int) error
	// See returns what layers see of the tokens of a context of slot 0, or where c has none, of no
	// rows. nil is the tokens as they are. Rows that the model adds stand before those given.
	See func(c *cond.Cond, tokens tensor.Mat) tensor.Mat
	// Projector returns what makes a layer's keys and values of tokens of a slot, or nil where the layer
	// does not attend to that slot.
	Projector func(slot int, layer *blocks.KeyValue) func(tokens tensor.Mat) attention.KV
}

// Run is what a session runs: its program, and what that reads and writes. It has one user at a time.
type Run struct {
	Model
	Batch, Height, Width int
	Program              *program.Program

	// What the run in progress reads, and where it writes. Times stays the same memory, so that ops may
	// keep it.
	X, Out tensor.NHWC
	Times  []float64

	busy    atomic.Bool
	bound   *Binding
	prompts []*blocks.Prompt
	names   struct{ x, out string } // in panics
}

// New returns a Run for batch images of height × width. Plan completes it.
func New(m Model, batch, height, width int) (*Run, error) {
	r := &Run{Model: m, Batch: batch, Height: height, Width: width}
	if err := size.Check("images", batch, height, width, 1); err != nil {
		return nil, r.Errorf("session for %w", err)
	}
	r.Times = make([]float64, batch)
	r.names.x, r.names.out = m.Name+": x", m.Name+": out"
	return r, nil
}

// Plan makes the program.
func (r *Run) Plan(g *blocks.Graph) { r.Program, r.prompts = g.Build(), g.Prompts }

// Errorf returns an error that begins with the model's name.
func (r *Run) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", r.Name, fmt.Errorf(format, args...))
}
