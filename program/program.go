// Package program runs a model as a straight line of named ops over planned memory.
//
// A model describes itself to a Builder once for every shape it runs at: Image makes a symbolic
// value, Add appends an op that reads and writes values. Build finds from when to when each buffer
// is alive, lays those that never are at the same time over each other in one arena, and binds
// every op to its memory. What remains is a list of steps that neither allocate nor fail, so
// Run's only error is that of a canceled context.
//
// A concatenation costs nothing: its parts are channel ranges of one value, and whoever computes
// a part writes it in place.
package program

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// Op is one step of a program before it is bound.
type Op struct {
	// Name is that of the module in the model's checkpoint, "mid_block.resnets.0.conv1".
	Name string
	// Kind is the operator, "conv", and How says which of several ways to compute it is taken, where it
	// has such: "winograd4". Profiles add up by both. How is asked after Bind.
	Kind string
	How  fmt.Stringer
	// Dst is the value written, Src are those read. An op that works in place has Dst among Src.
	// The zero Value is allowed anywhere and says nothing.
	Dst Value
	Src []Value
	// Cost returns what a run of the op costs beyond its traffic in Src and Dst; nil is nothing.
	Cost func() Cost
	// Bind returns the step. It may allocate; the step must not, and must not retain or touch
	// memory of values that are not in Dst and Src.
	Bind func(m Memory) func()
}

// Cost is the work of an op.
type Cost struct {
	FLOP  float64 // floating-point operations, a multiply-add counting as two
	Bytes float64 // memory traffic
}

// Builder is a program under construction. Its methods panic where they are used against their
// documentation: a program is code, not data.
type Builder struct {
	ops     []Op
	buffers []*buffer
	kept    int
}

// Image makes a value of its own memory, n images of h × w pixels with c channels.
func (b *Builder) Image(n, h, w, c int) Value {
	v := Value{N: n, H: h, W: w, C: c, buffer: newBuffer(n*h*w, c)}
	b.buffers = append(b.buffers, v.buffer)
	return v
}

// Mat makes a value of its own memory, a matrix.
func (b *Builder) Mat(rows, cols int) Value { return b.Image(rows, 1, 1, cols) }

// Add appends an op. It panics where the op reads a buffer that no op has written.
func (b *Builder) Add(op Op) {
	at := len(b.ops)
	for _, v := range op.Src {
		if v.buffer == nil {
			continue
		}
		if v.buffer.first < 0 {
			panic(fmt.Sprintf("program: %s reads a value before anything wrote it", op.Name))
		}
		v.buffer.last = at
	}
	if d := op.Dst.buffer; d != nil {
		if d.first < 0 {
			d.first = at
		}
		d.last = at
	}
	b.ops = append(b.ops, op)
}

// Keep counts memory besides that of values which the program keeps from being freed, and may share with
// other programs.
func (b *Builder) Keep(bytes int) { b.kept += bytes }

// Build plans the memory and binds the ops to it. The Builder must not be used afterwards.
func (b *Builder) Build() *Program {
	live := b.buffers[:0:0]
	for _, buf := range b.buffers {
		if buf.first >= 0 {
			live = append(live, buf)
		}
	}
	m := Memory{arena: tensor.Aligned(plan(live))}
	p := &Program{memory: m, kept: b.kept, ops: b.ops, steps: make([]func(), len(b.ops))}
	for i, op := range b.ops {
		p.steps[i] = op.Bind(m)
	}
	return p
}

// Program is a model at one shape, ready to run. It has one user at a time.
type Program struct {
	memory Memory
	kept   int
	ops    []Op
	steps  []func()

	observe func(name string, out tensor.NHWC)
	profile Profile // by op; nil while nobody measures
}

// Run does the ops in order. It looks at ctx before each of them and returns its error at the
// first where it has one; otherwise nil. It does not allocate.
func (p *Program) Run(ctx context.Context) error {
	if p.observe != nil || p.profile != nil {
		return p.runWatched(ctx)
	}
	for _, step := range p.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		step()
	}
	return nil
}

// Bytes returns the size of the program's memory.
func (p *Program) Bytes() int { return 4 * len(p.memory.arena) }

// Kept returns how many bytes more the program keeps from being freed, and may share with other
// programs: weights that were transformed for it.
func (p *Program) Kept() int { return p.kept }

// Names returns the names of the ops in order.
func (p *Program) Names() []string {
	names := make([]string, len(p.ops))
	for i, op := range p.ops {
		names[i] = op.Name
	}
	return names
}
