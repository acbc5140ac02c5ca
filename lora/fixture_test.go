package lora_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/lora"
)

// weight is a tensor of a file: float32 values, stored as such or as dtype says.
type weight struct {
	shape []int
	data  []float32
	dtype string
}

// random returns a tensor of random values.
func random(seed uint64, shape ...int) weight {
	n := 1
	for _, size := range shape {
		n *= size
	}
	return weight{shape: append([]int{}, shape...), data: kerneltest.Random(seed, n)}
}

// one returns a scalar.
func one(v float32) weight { return weight{shape: []int{}, data: []float32{v}} }

// encode writes a safetensors file.
func encode(t testing.TB, weights map[string]weight, metadata map[string]string) []byte {
	t.Helper()
	header := map[string]any{}
	if metadata != nil {
		header["__metadata__"] = metadata
	}
	var data bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		w := weights[name]
		from := data.Len()
		var values any = w.data
		switch w.dtype {
		case "":
			w.dtype = "F32"
		case "F16", "BF16":
			half := map[string]kernels.HalfType{"F16": kernels.Float16, "BF16": kernels.BFloat16}[w.dtype]
			if !half.Holds(w.data) {
				t.Fatalf("%s: not of type %s", name, w.dtype)
			}
			narrow := make([]uint16, len(w.data))
			half.Narrow(narrow, w.data)
			values = narrow
		case "I64":
			whole := make([]int64, len(w.data))
			for i, v := range w.data {
				whole[i] = int64(v)
			}
			values = whole
		}
		if err := binary.Write(&data, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		header[name] = map[string]any{"dtype": w.dtype, "shape": w.shape, "data_offsets": []int{from, data.Len()}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data.Bytes())
}

const name = "loras/style.safetensors"

// open opens a LoRA of these tensors.
func open(t testing.TB, weights map[string]weight) *lora.File {
	t.Helper()
	f, err := lora.Open(fstest.MapFS{name: {Data: encode(t, weights, nil)}}, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// openError returns the error from opening these tensors.
func openError(t testing.TB, weights map[string]weight) error {
	t.Helper()
	f, err := lora.Open(fstest.MapFS{name: {Data: encode(t, weights, nil)}}, name)
	if err == nil {
		f.Close()
		t.Fatal("no error")
	}
	return err
}

// says fails the test unless the error holds all the texts.
func says(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
}

// merged returns w + factor·up·mid·down in float64, and how far float32 may be from it: up is out × a,
// mid nil or a × b × taps, down b × in × taps (one tap where there is a mid).
func merged(w, up, mid, down []float32, factor float64, rank int) (want, bound []float64) {
	out := len(up) / rank
	columns := len(w) / out
	inner, innerAbs := make([]float64, rank*columns), make([]float64, rank*columns)
	for a := range rank {
		for c := range columns {
			if mid == nil {
				inner[a*columns+c] = float64(down[a*columns+c])
				innerAbs[a*columns+c] = max(inner[a*columns+c], -inner[a*columns+c])
				continue
			}
			in := len(down) / rank
			taps := columns / in
			for b := range rank {
				p := float64(mid[(a*rank+b)*taps+c%taps]) * float64(down[b*in+c/taps])
				inner[a*columns+c] += p
				innerAbs[a*columns+c] += max(p, -p)
			}
		}
	}
	for o := range out {
		for c := range columns {
			sum := float64(w[o*columns+c])
			abs := max(sum, -sum)
			for a := range rank {
				sum += factor * float64(up[o*rank+a]) * inner[a*columns+c]
				p := factor * float64(up[o*rank+a]) * innerAbs[a*columns+c]
				abs += max(p, -p)
			}
			want, bound = append(want, sum), append(bound, float64(2*rank+3)*0x1p-24*abs)
		}
	}
	return want, bound
}

// near compares with a bound for every value.
func near(t testing.TB, what string, got []float32, want, bound []float64) {
	t.Helper()
	kerneltest.Near(t, what, got, want, func(i int) float64 { return bound[i] })
}
