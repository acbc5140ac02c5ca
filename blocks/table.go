package blocks

import (
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Table is an embedding: a vector for each label from 0 on.
type Table struct {
	Name   string
	Labels int

	rows tensor.Mat
}

// Table loads "weight", labels × width.
func (l *Loader) Table(name string, labels, width int) *Table {
	rows := l.Tensor(name+".weight", labels, width)
	return &Table{name, labels, tensor.Mat{Rows: labels, Cols: width, Stride: width, Data: rows}}
}

// Row returns the vector of a label, which is the table's own memory.
func (t *Table) Row(label int) []float32 { return t.rows.Row(label) }

// Build appends dst += the vectors of labels, one row for each. labels is read on every run.
func (t *Table) Build(g *Graph, dst program.Value, labels []int) {
	g.Add(program.Op{Name: t.Name, Kind: "embedding", Dst: dst, Src: []program.Value{dst}, Bind: func(m program.Memory) func() {
		d := m.Mat(dst)
		return func() {
			for i, label := range labels {
				row := d.Row(i)
				for c, v := range t.rows.Row(label) {
					row[c] += v
				}
			}
		}
	}})
}
