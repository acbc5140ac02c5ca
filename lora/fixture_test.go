package lora_test

import (
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/lora"
)

// random returns a tensor of random values.
func random(seed uint64, shape ...int) modeltest.Tensor {
	n := 1
	for _, size := range shape {
		n *= size
	}
	return modeltest.Tensor{Shape: append([]int{}, shape...), Data: kerneltest.Random(seed, n)}
}

// one returns a scalar.
func one(v float32) modeltest.Tensor { return modeltest.Tensor{Shape: []int{}, Data: []float32{v}} }

const name = "loras/style.safetensors"

// open opens a LoRA of these tensors.
func open(t testing.TB, weights map[string]modeltest.Tensor) *lora.File {
	t.Helper()
	f, err := lora.Open(fstest.MapFS{name: {Data: modeltest.Safetensors(weights)}}, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// openError returns the error from opening these tensors.
func openError(t testing.TB, weights map[string]modeltest.Tensor) error {
	t.Helper()
	f, err := lora.Open(fstest.MapFS{name: {Data: modeltest.Safetensors(weights)}}, name)
	if err == nil {
		f.Close()
		t.Fatal("no error")
	}
	return err
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
