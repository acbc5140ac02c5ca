package blocks_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
)

// entry is a tensor of a file.
type entry struct {
	dtype string
	shape []int
	data  []byte
}

func f32(v ...float32) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// checkpoint writes and opens model.safetensors.
func checkpoint(t *testing.T, entries map[string]entry) *safetensors.Checkpoint {
	t.Helper()
	header, data := map[string]any{}, []byte(nil)
	for name, e := range entries {
		header[name] = map[string]any{"dtype": e.dtype, "shape": e.shape, "data_offsets": []int{len(data), len(data) + len(e.data)}}
		data = append(data, e.data...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data)
	c, err := safetensors.OpenSharded(fstest.MapFS{"model.safetensors": {Data: file}}, "model")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Layers that are stacked keep their columns apart, with a bias each.
func TestStack(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 1)
		l := blocks.NewLoader(e, checkpoint(t, map[string]entry{
			"a.weight": {"F32", []int{1, 2}, f32(1, 2)}, "a.bias": {"F32", []int{1}, f32(100)},
			"b.weight": {"F32", []int{2, 2}, f32(3, 4, 5, 6)}, "b.bias": {"F32", []int{2}, f32(200, 300)},
		}), "test")
		linear := l.Stack("ab", 2, true, blocks.Part{Name: "a", Out: 1}, blocks.Part{Name: "b", Out: 2})
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
		g := &blocks.Graph{Engine: e}
		x, y := g.Mat(1, 2), g.Mat(1, 3)
		var got []float32
		g.Add(program.Op{Dst: x, Bind: func(m program.Memory) func() {
			got = m.Mat(y).Row(0)
			return func() { copy(m.Mat(x).Row(0), []float32{1, 10}) }
		}})
		linear.Build(g, y, x, blocks.Fuse{})
		if err := g.Build().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []float32{121, 243, 365}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestLoaderErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	l := blocks.NewLoader(e, checkpoint(t, map[string]entry{
		"whole.weight":  {"I64", []int{1, 1}, make([]byte, 8)},
		"nan.weight":    {"F16", []int{2}, []byte{0, 0x3c, 0, 0x7e}},
		"spare.bias":    {"F32", []int{1}, f32(1)},
		"spare.weights": {"F32", []int{1}, f32(1)},
	}), "test")
	if err := l.Err(); err != nil {
		t.Errorf("before anything was asked for: %v", err)
	}
	l.Linear("whole", 1, 1, false)
	l.Vector("nan.weight", 2)
	l.Stack("qkv", 3, false, blocks.Part{Name: "q", Out: 5}, blocks.Part{Name: "k", Out: 6})
	err := l.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"whole.weight", "I64",
		"test: nan.weight: value 1 is NaN (model.safetensors)",
		"test: q.weight: missing, want [5 3] (model.safetensors)",
		"test: k.weight: missing, want [6 3] (model.safetensors)",
		"test: tensors not used: spare.bias [1], spare.weights [1] (model.safetensors)",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\n\tdoes not say %q", err, want)
		}
	}
	for line := range strings.Lines(err.Error()) {
		if !strings.HasPrefix(line, "test: ") {
			t.Errorf("line %q does not name the model", line)
		}
	}
}

// A configuration may ask for more than any memory holds: what there is no tensor for takes none.
func TestLoaderReservesWhatThereIs(t *testing.T) {
	const huge = 1 << 24
	l := blocks.NewLoader(kerneltest.Engine(t, kernels.Available()[0], 1), checkpoint(t, map[string]entry{"a.weight": {"F32", []int{1}, f32(1)}}), "test")
	l.Linear("a", huge, huge, true)
	l.Conv("b", huge, huge, conv.Same(3))
	l.Table("c", huge, huge)
	l.Tensor("d", huge, huge)
	got := fmt.Sprint(l.Err())
	for _, want := range []string{
		"test: a.weight: shape [1], want [16777216 16777216]", "test: b.weight: missing, want [16777216 16777216 3 3]",
		"test: c.weight: missing", "test: d: missing", "test: a.bias: missing, want [16777216]", "test: b.bias: missing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %q in it", got, want)
		}
	}
}
