package lora

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// Merge is what a LoRA has for one model, times a scale: a blocks.Merge. It is for one Load at a time.
type Merge struct {
	file    *File
	scale   float64
	modules map[string]*module // by flat name in the model
	used    map[*module]bool
	err     error

	scratch [parts + 1][]float32 // memory for the factors of one layer
}

// Add adds to w, a weight of that name and shape, the product that the LoRA has for it, if any:
//
//	w += scale·alpha/rank · up·down
//
// for w as out × in, or for a convolution as out × (in·height·width). The product is not rounded before
// it is added: every element is a chain of fused multiply-adds that starts from w. With magnitudes
// (Liu et al. 2024, "DoRA: Weight-decomposed low-rank adaptation") every row of the result is then
// scaled to have its magnitude for a norm.
//
// It is an error where a shape does not fit, or a factor holds values that are not finite. A merge that
// is wrong as a whole (see Err) adds nothing.
func (m *Merge) Add(e *engine.Engine, w []float32, name string, shape []int) error {
	layer, ok := strings.CutSuffix(name, ".weight")
	if !ok || m.err != nil {
		return nil
	}
	module := m.modules[flatten(layer)]
	if module == nil {
		return nil
	}
	m.used[module] = true
	if err := m.file.fits(module, shape); err != nil {
		return fmt.Errorf("lora: %s: %w", m.file.file.Name(), err)
	}
	var factors [parts]tensor.Mat
	for p := range alpha {
		if name := module.parts[p]; name != "" {
			var err error
			if factors[p], err = m.read(p, name); err != nil {
				return err
			}
		}
	}
	right := factors[down]
	if module.parts[mid] != "" {
		right = m.unfold(e, factors[mid], right)
	}
	dst := tensor.Mat{Rows: shape[0], Cols: len(w) / shape[0], Stride: len(w) / shape[0], Data: w}
	gemm.General(e, dst, float32(m.scale*module.factor), gemm.Operand{Mat: factors[up]}, gemm.Operand{Mat: right}, 1)
	if module.parts[magnitude] != "" {
		normalise(dst, factors[magnitude].Data)
	}
	return nil
}

// fits returns an error unless the product has the shape of a weight.
func (f *File) fits(m *module, shape []int) error {
	first, last := f.shape(m, down), f.shape(m, up)
	has := append([]int{last[0]}, first[1:]...)
	if m.parts[mid] != "" {
		has = append([]int{last[0], first[1]}, f.shape(m, mid)[2:]...)
	}
	if len(shape) < 2 || slices.Contains(shape, 0) || !slices.Equal(trim(has), trim(shape)) {
		return fmt.Errorf("%s of shape %v times %s of shape %v is for a weight of shape %v, the model's has %v", m.parts[up], last, m.parts[down], first, has, shape)
	}
	return nil
}

// read returns a part as a matrix of as many rows as its first size, in scratch memory.
func (m *Merge) read(p part, name string) (tensor.Mat, error) {
	f := m.file
	info, _ := f.file.Tensor(name)
	v := tensor.Mat{Rows: info.Shape[0], Cols: info.Elements() / info.Shape[0]}
	v.Stride, v.Data = v.Cols, m.reserve(p, info.Elements())
	if err := f.file.Float32(name, v.Data); err != nil {
		return v, fmt.Errorf("lora: %w", err)
	}
	for i, value := range v.Data {
		if value-value != 0 { // NaN or infinite
			return v, fmt.Errorf("lora: %s: %s: value %d is %v", f.file.Name(), name, i, value)
		}
	}
	return v, nil
}

// unfold returns the product of the two inner factors of a convolution, with b over the rank of down,
//
//	down'[a][i][y][x] = Σ over b of mid[a][b][y][x]·down[b][i]
//
// as a matrix with a row for every a, which is what up is multiplied by.
func (m *Merge) unfold(e *engine.Engine, mid, down tensor.Mat) tensor.Mat {
	rank, in := down.Rows, down.Cols
	taps := mid.Cols / rank
	product := tensor.Mat{Rows: mid.Rows, Cols: in * taps, Stride: in * taps, Data: m.reserve(unfolded, mid.Rows*in*taps)}
	for a := range mid.Rows {
		to := tensor.Mat{Rows: in, Cols: taps, Stride: taps, Data: product.Row(a)}
		from := tensor.Mat{Rows: rank, Cols: taps, Stride: taps, Data: mid.Row(a)}
		gemm.General(e, to, 1, gemm.Operand{Mat: down, Transposed: true}, gemm.Operand{Mat: from}, 0)
	}
	return product
}

// normalise scales the rows of w to norms.
func normalise(w tensor.Mat, norms []float32) {
	for r := range w.Rows {
		row, square := w.Row(r), 0.0
		for _, v := range row {
			square += float64(v) * float64(v) // exact, so that it is all the same whether it is fused
		}
		scale := float64(norms[r]) / math.Sqrt(square)
		for i, v := range row {
			row[i] = float32(scale * float64(v))
		}
	}
}

// unfolded is the scratch memory of unfold's result.
const unfolded = part(parts)

// reserve returns scratch memory i for n values.
func (m *Merge) reserve(i part, n int) []float32 {
	if cap(m.scratch[i]) < n {
		m.scratch[i] = make([]float32, n)
	}
	return m.scratch[i][:n]
}

// Unused lists the layers of the LoRA that no tensor has asked for, as the file calls them, sorted.
func (m *Merge) Unused() []string {
	var unused []string
	for module := range maps.Values(m.modules) {
		if !m.used[module] {
			unused = append(unused, fmt.Sprintf("%s (%s)", module.label, m.file.file.Name()))
		}
	}
	slices.Sort(unused)
	return unused
}

// Err returns an error where the scale is not a number, where two of the LoRA's names mean one layer, or
// where it has something for a model and none of it was for the one that was loaded.
func (m *Merge) Err() error {
	if m.err != nil || len(m.modules) == 0 || len(m.used) > 0 {
		return m.err
	}
	return fmt.Errorf("lora: none of its %d layers is one of the model's: %s", len(m.modules), excerpt(m.Unused()))
}

// excerpt joins the first of several names.
func excerpt(names []string) string {
	const most = 4
	if len(names) > most {
		names = append(slices.Clip(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
