package program

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lanewise/lanewise/tensor"
)

// Sample is what an op, or the ops of a kind that are computed alike together, took.
type Sample struct {
	Name, Kind, How string // Name is empty for a kind, How for what is always computed alike
	Runs            int
	Time            time.Duration
	Cost            Cost
}

// Profile is a program's samples.
type Profile []Sample

// Observe makes Run show f the output of every op as soon as it is there; nil ends that. out is
// only valid, and must not be changed, until f returns. An op without an output in the program's
// memory is not shown.
func (p *Program) Observe(f func(name string, out tensor.NHWC)) { p.observe = f }

// Measure starts a new profile, or ends measuring. Where nothing is measured or observed, Run
// does not look at a clock.
func (p *Program) Measure(on bool) {
	p.profile = nil
	if !on {
		return
	}
	p.profile = make(Profile, len(p.ops))
	for i, op := range p.ops {
		p.profile[i] = Sample{Name: op.Name, Kind: op.Kind}
		if op.How != nil {
			p.profile[i].How = op.How.String()
		}
	}
}

// Profile returns what each op took since Measure, in order.
func (p *Program) Profile() Profile { return slices.Clone(p.profile) }

// runWatched is Run with a profile, an observer or both.
func (p *Program) runWatched(ctx context.Context) error {
	for i, step := range p.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		op := &p.ops[i]
		start := time.Now()
		step()
		if p.profile != nil {
			p.profile[i].add(op, time.Since(start))
		}
		if p.observe != nil && op.Dst.buffer != nil {
			p.observe(op.Name, p.memory.Image(op.Dst))
		}
	}
	return nil
}

// add counts a run of op.
func (s *Sample) add(op *Op, took time.Duration) {
	s.Runs++
	s.Time += took
	s.Cost.Bytes += op.Dst.bytes()
	for _, v := range op.Src {
		s.Cost.Bytes += v.bytes()
	}
	if op.Cost != nil {
		c := op.Cost()
		s.Cost.FLOP += c.FLOP
		s.Cost.Bytes += c.Bytes
	}
}

// ByKind adds the samples of each kind together, those that are computed alike, the sum that took
// longest first.
func (p Profile) ByKind() Profile {
	var kinds Profile
	for _, s := range p {
		i := slices.IndexFunc(kinds, func(k Sample) bool { return k.Kind == s.Kind && k.How == s.How })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, Sample{Kind: s.Kind, How: s.How})
		}
		k := &kinds[i]
		k.Runs += s.Runs
		k.Time += s.Time
		k.Cost.FLOP += s.Cost.FLOP
		k.Cost.Bytes += s.Cost.Bytes
	}
	slices.SortStableFunc(kinds, func(a, b Sample) int { return cmp.Compare(b.Time, a.Time) })
	return kinds
}

// Total adds all samples together.
func (p Profile) Total() Sample {
	total := Sample{Kind: "total"}
	for _, s := range p {
		total.Runs += s.Runs
		total.Time += s.Time
		total.Cost.FLOP += s.Cost.FLOP
		total.Cost.Bytes += s.Cost.Bytes
	}
	return total
}

// Write prints the samples and their total as a table: time, its share of all time, FLOP/s, their
// share of peak (in FLOP/s; 0 where it is not known), memory traffic, kind, how it is computed, and name.
func (p Profile) Write(w io.Writer, peak float64) error {
	var table bytes.Buffer
	fmt.Fprintf(&table, "%6s %10s %7s %9s %7s %7s  %-11s %-18s %s\n", "runs", "ms", "% time", "GFLOP/s", "% peak", "GB/s", "kind", "how", "name")
	total := p.Total()
	for _, s := range append(slices.Clip(p), total) {
		seconds := s.Time.Seconds()
		rate := ratio(s.Cost.FLOP, seconds)
		fmt.Fprintf(&table, "%6d %10.3f %7.1f %9.1f %7.1f %7.1f  %-11s %-18s %s\n", s.Runs, 1e3*seconds, 100*ratio(seconds, total.Time.Seconds()),
			rate/1e9, 100*ratio(rate, peak), ratio(s.Cost.Bytes, seconds)/1e9, s.Kind, s.How, s.Name)
	}
	_, err := w.Write(table.Bytes())
	return err
}

// ratio is a/b, and 0 where b is.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
