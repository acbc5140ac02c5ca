package cond_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// mat is a matrix of the given columns that counts up from first.
func mat(first float32, rows, cols int) tensor.Mat {
	m := tensor.MakeMat(rows, cols)
	for i := range m.Data {
		m.Data[i] = first + float32(i)
	}
	return m
}

// image is n images of h × w that count up from first.
func image(first float32, n, h, w, c int) tensor.NHWC {
	t := tensor.Make(n, h, w, c)
	copy(t.Data, mat(first, n*h*w, c).Data)
	return t
}

func TestJoinContexts(t *testing.T) {
	words := cond.Context{Tokens: mat(0, 2, 3), Mask: []float32{0, -1}}
	more := cond.Context{Tokens: mat(10, 1, 3), Scale: 1}
	picture := cond.Context{Slot: 1, Tokens: mat(20, 4, 5), Scale: 0.5}
	got, err := cond.Join(cond.Cond{Context: []cond.Context{words}}, cond.Image(1, picture.Tokens, 0.5), cond.Cond{}, cond.Cond{Context: []cond.Context{more}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Context) != 2 {
		t.Fatalf("%d contexts", len(got.Context))
	}
	text, side := got.Context[0], got.Context[1]
	if text.Slot != 0 || text.Tokens.Rows != 3 || !slices.Equal(text.Tokens.Row(1), []float32{3, 4, 5}) || !slices.Equal(text.Tokens.Row(2), []float32{10, 11, 12}) {
		t.Errorf("tokens %+v", text)
	}
	if !slices.Equal(text.Mask, []float32{0, -1, 0}) {
		t.Errorf("mask %v", text.Mask)
	}
	if side.Slot != 1 || side.Scale != 0.5 || &side.Tokens.Data[0] != &picture.Tokens.Data[0] {
		t.Errorf("image prompt %+v", side)
	}
	if words.Tokens.Rows != 2 || len(words.Mask) != 2 {
		t.Error("a part has changed")
	}
}

func TestJoinVectorsMapsResiduals(t *testing.T) {
	a := cond.Cond{Vector: []float32{1, 2}, Pooled: []float32{5}, Concat: image(0, 1, 1, 2, 1), Class: 3, Residual: []cond.Residual{{Scale: 1}}}
	b := cond.Cond{Vector: []float32{10, 20}, Concat: image(10, 2, 1, 2, 2), Sizes: []float64{64}, Guidance: []float32{7}, Residual: []cond.Residual{{Scale: 2}}}
	got, err := cond.Join(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Vector, []float32{11, 22}) || !slices.Equal(got.Pooled, []float32{5}) || !slices.Equal(got.Guidance, []float32{7}) {
		t.Errorf("vectors %v %v %v", got.Vector, got.Pooled, got.Guidance)
	}
	if a.Vector[0] != 1 || b.Vector[0] != 10 {
		t.Error("a part's vector has changed")
	}
	if got.Class != 3 || !slices.Equal(got.Sizes, []float64{64}) {
		t.Errorf("class %d, sizes %v", got.Class, got.Sizes)
	}
	if want := []float32{0, 10, 11, 1, 12, 13, 0, 14, 15, 1, 16, 17}; got.Concat.Shape() != "2×1×2×3" || !slices.Equal(got.Concat.Data, want) {
		t.Errorf("maps %s %v, want %v", got.Concat.Shape(), got.Concat.Data, want)
	}
	turned, err := cond.Join(cond.Cond{Concat: b.Concat}, cond.Cond{Concat: a.Concat})
	if want := []float32{10, 11, 0, 12, 13, 1, 14, 15, 0, 16, 17, 1}; err != nil || !slices.Equal(turned.Concat.Data, want) {
		t.Errorf("maps the other way round %v, %v, want %v", turned.Concat.Data, err, want)
	}
	if len(got.Residual) != 2 || got.Residual[1].Scale != 2 {
		t.Errorf("residuals %+v", got.Residual)
	}
	again, err := cond.Join(got, b)
	if err != nil || len(again.Residual) != 3 || len(got.Residual) != 2 || got.Vector[0] != 11 {
		t.Errorf("joined again: %v, %d residuals; the first has %d", err, len(again.Residual), len(got.Residual))
	}
}

func TestJoinErrors(t *testing.T) {
	tokens := func(c cond.Context) cond.Cond { return cond.Cond{Context: []cond.Context{c}} }
	for _, test := range []struct {
		a, b cond.Cond
		says string
	}{
		{cond.Cond{Class: 1}, cond.Cond{Class: 2}, "part 1: class 2 beside class 1"},
		{cond.Cond{Sizes: []float64{1}}, cond.Cond{Sizes: []float64{2}}, "sizes [2] beside [1]"},
		{cond.Cond{Vector: make([]float32, 2)}, cond.Cond{Vector: make([]float32, 3)}, "vector of 3 values beside one of 2"},
		{cond.Cond{Pooled: make([]float32, 2)}, cond.Cond{Pooled: make([]float32, 1)}, "pooled of 1 values beside one of 2"},
		{cond.Cond{Concat: image(0, 1, 2, 2, 1)}, cond.Cond{Concat: image(0, 1, 2, 3, 1)}, "map 1×2×3×1 behind a map 1×2×2×1"},
		{cond.Cond{Concat: image(0, 2, 2, 2, 1)}, cond.Cond{Concat: image(0, 3, 2, 2, 1)}, "map 3×2×2×1 behind a map 2×2×2×1"},
		{cond.Cond{Concat: image(0, 1, 2, 2, 1)}, cond.Cond{Concat: tensor.Make(0, 2, 2, 1)}, "part 1: map 0×2×2×1, want at least one image"},
		{cond.Cond{Concat: tensor.Make(0, 2, 2, 1)}, cond.Cond{}, "part 0: map 0×2×2×1"},
		{cond.Text(mat(0, 1, 2)), cond.Text(mat(0, 1, 3)), "tokens of 3 values behind tokens of 2, both of slot 0"},
		{cond.Text(mat(0, 1, 2)), tokens(cond.Context{Tokens: mat(0, 1, 2), Scale: 0.5}), "scale 0.5 behind tokens of scale 1"},
		{cond.Cond{}, tokens(cond.Context{Tokens: mat(0, 3, 2), Mask: []float32{0}}), "mask of 1 values for 3 tokens"},
	} {
		if _, err := cond.Join(test.a, test.b); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v, want %q", err, test.says)
		}
	}
}

func TestMix(t *testing.T) {
	got, err := cond.Mix([]float64{0.25, 0.75}, []float32{4, 0}, []float32{8, -4})
	if err != nil || !slices.Equal(got, []float32{7, -3}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := cond.Mix([]float64{1}, nil, nil); err == nil || !strings.Contains(err.Error(), "1 weights for 2 vectors") {
		t.Error(err)
	}
	if _, err := cond.Mix([]float64{1, 1}, []float32{1}, []float32{1, 2}); err == nil || !strings.Contains(err.Error(), "vector 1 has 2 values") {
		t.Error(err)
	}
}
