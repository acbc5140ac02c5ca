package dit_test

import (
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Conditions of one batch differ in what they have: each image comes out as it would alone.
func TestBindMixed(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, alpha))
	const h, w = 8, 6
	plain := condition(1, m, 5)
	masked := condition(2, m, 120) // more than a block of keys
	masked.Context[0].Mask = make([]float32, 120)
	for i := 100; i < 120; i++ {
		masked.Context[0].Mask[i] = -10000
	}
	two := condition(3, m, 2)
	two.Context = append(two.Context, cond.Context{Tokens: mat(9, 3, m.Config.ContextDim), Scale: 0.25})
	half := condition(4, m, 3)
	half.Context[0].Scale = 0.5
	conds := []cond.Cond{plain, masked, two, half}
	x := images(5, 4, h, w, 4)
	got := forward(t, bind(t, m, 4, h, w, conds...), x, 8, 900, 10, 20, 30)
	for i, c := range conds {
		alone := forward(t, bind(t, m, 1, h, w, c), x.Images(i, i+1), 8, []float64{900, 10, 20, 30}[i])
		kerneltest.Same(t, kerneltest.Name("image", i), got.Images(i, i+1).Data, alone.Data)
	}
}

// Tokens that −10000 masks are as good as absent, and what is bound is what the tokens were.
func TestMaskedTokens(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, sigma))
	masked := condition(1, m, 9)
	tokens := &masked.Context[0]
	short := cond.Cond{Context: []cond.Context{{Tokens: tokens.Tokens.Slice(0, 5)}}}
	tokens.Mask = []float32{0, 0, 0, 0, 0, -10000, -10000, -10000, -10000}
	x := images(2, 1, 4, 4, 3)
	want := forward(t, bind(t, m, 1, 4, 4, short), x, 3, 5)
	b := bind(t, m, 1, 4, 4, masked)
	clear(tokens.Tokens.Data)
	near := kerneltest.Float64s(want.Data)
	kerneltest.Near(t, "out", forward(t, b, x, 3, 5).Data, near, func(int) float64 { return 1e-5 })
}

// A label's vector stands for the label, whether blocks share their embedding or not, and the mean of two
// is neither.
func TestVector(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	own := files(t, classes)
	for _, c := range []struct {
		name   string
		dim    int
		sharer bool
	}{{"own", 48, false}, {"shared", 24, true}} {
		fsys := own
		if c.sharer {
			fsys = shared(t, own)
		}
		m := load(t, e, fsys)
		if m.VectorDim() != c.dim {
			t.Errorf("%s embeddings: vectors of %d values, want %d", c.name, m.VectorDim(), c.dim)
		}
		x := images(1, 1, 8, 8, 4)
		of := func(c cond.Cond) tensor.NHWC { return forward(t, bind(t, m, 1, 8, 8, c), x, 8, 500) }
		var rows [2][]float32
		for class := range rows {
			row, err := m.Label(class + 3)
			if err != nil {
				t.Fatal(err)
			}
			rows[class] = row
			kerneltest.Same(t, c.name, of(cond.Cond{Vector: row}).Data, of(cond.Cond{Class: class + 3}).Data)
		}
		mean, err := cond.Mix([]float64{0.5, 0.5}, rows[:]...)
		if err != nil {
			t.Fatal(err)
		}
		mixed, first, second := of(cond.Cond{Vector: mean}), of(cond.Cond{Class: 3}), of(cond.Cond{Class: 4})
		if distance(mixed, first) < 1e-3 || distance(mixed, second) < 1e-3 || distance(first, second) < 1e-3 {
			t.Errorf("%s: the mean of two classes is one of them", c.name)
		}
	}
}

// distance is the largest difference of two outputs.
func distance(a, b tensor.NHWC) (d float64) {
	for i, v := range a.Data {
		d = max(d, math.Abs(float64(v-b.Data[i])))
	}
	return d
}

// Embeddings that are shared give what they gave when each block had its own.
func TestSharedEmbedding(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	once := shared(t, files(t, classes))
	weights := modeltest.Read(once, weightsBase)
	const table = "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"
	other := weights[table]
	other.Data = append([]float32(nil), other.Data...)
	other.Data[0]++ // of class 0: the second block's embedding is another now
	weights[table] = other
	m, own := load(t, e, once), load(t, e, withWeights(once, weights))
	if m.VectorDim() != 24 || own.VectorDim() != 48 || m.Bytes >= own.Bytes {
		t.Fatalf("vectors of %d and %d values, %d and %d bytes", m.VectorDim(), own.VectorDim(), m.Bytes, own.Bytes)
	}
	x := images(1, 2, 8, 8, 4)
	conds := []cond.Cond{{Class: 2}, {Class: 5}}
	want := forward(t, bind(t, own, 2, 8, 8, conds...), x, 8, 999, 1)
	kerneltest.Same(t, "shared", forward(t, bind(t, m, 2, 8, 8, conds...), x, 8, 999, 1).Data, want.Data)
}

// Channels behind those of x are channels of x.
func TestConcat(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, classes))
	x := images(1, 2, 8, 8, 4)
	var first, second, none cond.Cond
	first.Concat, second.Class = x.Images(0, 1).Channels(3, 4), 2
	second.Concat = x.Images(1, 2).Channels(3, 4)
	want := forward(t, bind(t, m, 2, 8, 8, cond.Cond{}, cond.Cond{Class: 2}), x, 8, 10, 20)
	got := forward(t, bind(t, m, 2, 8, 8, first, second), x.Channels(0, 3), 8, 10, 20)
	kerneltest.Same(t, "out", got.Data, want.Data)

	// One condition of several images, a map for each; and zeros for those without.
	both := cond.Cond{Concat: x.Channels(3, 4)}
	got = forward(t, bind(t, m, 4, 8, 8, both, none), x.Channels(0, 3), 8, 10, 20, 10, 20)
	want = forward(t, bind(t, m, 2, 8, 8, none), x, 8, 10, 20)
	kerneltest.Same(t, "a map each", got.Images(0, 2).Data, want.Data)
	zero := tensor.Make(2, 8, 8, 4)
	tensor.Copy(zero.Channels(0, 3), x.Channels(0, 3))
	want = forward(t, bind(t, m, 2, 8, 8, none), zero, 8, 10, 20)
	kerneltest.Same(t, "no map", got.Images(2, 4).Data, want.Data)
}

// Each of the three sizes has its say.
func TestSizes(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, alpha))
	x, c := images(1, 1, 8, 8, 4), condition(1, m, 3)
	c.Sizes = []float64{512, 768, 0.67}
	want := forward(t, bind(t, m, 1, 8, 8, c), x, 8, 500)
	for i := range c.Sizes {
		other := c
		other.Sizes = append([]float64(nil), c.Sizes...)
		other.Sizes[i] *= 1.5
		if d := distance(forward(t, bind(t, m, 1, 8, 8, other), x, 8, 500), want); d < 1e-3 {
			t.Errorf("size %d: the output moves by %v", i, d)
		}
	}
}

func TestBindErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	text := func(change func(c *cond.Context)) cond.Cond {
		c := cond.Text(mat(1, 3, 10))
		c.Sizes = []float64{8, 8, 1}
		change(&c.Context[0])
		return c
	}
	spoiled := tensor.Make(1, 8, 8, 3)
	spoiled.Pixel(0, 2, 3)[1] = nan
	sized := func(sizes ...float64) cond.Cond {
		c := cond.Text(mat(1, 3, 10))
		c.Sizes = sizes
		return c
	}
	for _, c := range []struct {
		config string
		c      cond.Cond
		says   string
	}{
		{classes, cond.Cond{Class: 6}, "dit: condition 0: class 6 of 6, want 0 to 5"},
		{classes, cond.Cond{Class: -1}, "class -1 of 6"},
		{classes, cond.Cond{Vector: make([]float32, 24)}, "vector of 24 values, want 48"},
		{classes, cond.Cond{Vector: append(make([]float32, 47), nan)}, "vector is NaN at value 47"},
		{classes, cond.Cond{Vector: make([]float32, 48), Class: 2}, "both a vector and class 2"},
		{classes, cond.Text(mat(1, 3, 10)), "1 contexts, but the model takes no captions"},
		{classes, cond.Cond{Sizes: []float64{1, 1, 1}}, "sizes, but the model takes none"},
		{classes, cond.Cond{Pooled: make([]float32, 3)}, "pooled, which the model has no place for"},
		{classes, cond.Cond{Guidance: make([]float32, 3)}, "guidance, which the model has no place for"},
		{classes, cond.Cond{Residual: make([]cond.Residual, 1)}, "residual, which the model has no place for"},
		{classes, cond.Cond{Concat: tensor.Make(1, 8, 8, 4)}, "concat is 1×8×8×4, want n×8×8×c with n 1 or 2 and c from 1 to 3"},
		{classes, cond.Cond{Concat: tensor.Make(3, 8, 8, 1)}, "concat is 3×8×8×1"},
		{classes, cond.Cond{Concat: tensor.Make(1, 8, 6, 1)}, "concat is 1×8×6×1"},
		{classes, cond.Cond{Concat: spoiled}, "concat is NaN at channel 1 of image 0, row 2, column 3"},
		{alpha, cond.Cond{Sizes: []float64{8, 8, 1}}, "no context, want tokens of 10 values"},
		{alpha, cond.Cond{Class: 1}, "class 1, but the model has no classes"},
		{alpha, cond.Cond{Vector: make([]float32, 3)}, "vector, which the model has no place for"},
		{alpha, sized(8, 8), "2 sizes, want 3: height, width and aspect ratio"},
		{alpha, sized(), "0 sizes, want 3"},
		{alpha, sized(8, math.NaN(), 1), "size 1 is NaN"},
		{alpha, text(func(c *cond.Context) { c.Slot = 1 }), "context 0: slot 1, which the model has not"},
		{alpha, text(func(c *cond.Context) { c.Tokens = mat(1, 3, 9) }), "context 0: 3 tokens of 9 values, want at least 1 of 10"},
		{alpha, text(func(c *cond.Context) { c.Tokens = mat(1, 0, 10) }), "0 tokens of 10 values"},
		{alpha, text(func(c *cond.Context) { c.Tokens.Row(1)[2] = inf }), "token 1 is +Inf at value 2"},
		{alpha, text(func(c *cond.Context) { c.Mask = make([]float32, 2) }), "mask of 2 values for 3 tokens"},
		{alpha, text(func(c *cond.Context) { c.Mask = []float32{0, nan, 0} }), "mask with a value that is NaN or +Inf"},
		{alpha, text(func(c *cond.Context) { c.Scale = inf }), "scale +Inf"},
	} {
		m := load(t, e, files(t, c.config))
		if _, err := session(t, m, 2, 8, 8).Bind(c.c); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	m := load(t, e, files(t, classes))
	for _, conds := range [][]cond.Cond{nil, make([]cond.Cond, 3)} {
		if _, err := session(t, m, 2, 8, 8).Bind(conds...); err == nil || !strings.Contains(err.Error(), "conditions for a batch of 2") {
			t.Errorf("%d conditions: %v", len(conds), err)
		}
	}
	maps := []cond.Cond{{Concat: tensor.Make(1, 8, 8, 1)}, {Concat: tensor.Make(1, 8, 8, 2)}}
	if _, err := session(t, m, 2, 8, 8).Bind(maps...); err == nil || !strings.Contains(err.Error(), "condition 1: concat of 2 channels beside one of 1") {
		t.Error(err)
	}
	if _, err := m.Label(6); err == nil || !strings.Contains(err.Error(), "dit: class 6 of 6") {
		t.Error(err)
	}
}
