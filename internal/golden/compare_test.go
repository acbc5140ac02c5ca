package golden_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

func TestCompare(t *testing.T) {
	want := golden.Tensor{Shape: []int{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}}
	within := func(want float64) float64 { return 0.1 * want }
	for _, test := range []struct {
		shape []int
		data  []float32
		says  string // "" for no error
	}{
		{[]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}, ""},
		{[]int{2, 3}, []float32{1.09, 1.81, 3, 4, 5, 6.5}, ""},
		{[]int{2, 3}, []float32{1, 2, 3.4, 4, 7, 6}, "2 of 6 values off, the worst at [1 1]: 7, want 5"},
		{[]int{2, 3}, []float32{1, 2, 3, float32(math.NaN()), 9, 6}, "NaN"},
		{[]int{2, 3}, []float32{1, 2, 3, 4, 5, float32(math.Inf(1))}, "[1 2]: +Inf"},
		{[]int{3, 2}, []float32{1, 2, 3, 4, 5, 6}, "shape [3 2]"},
		{[]int{2, 3}, []float32{1, 2, 3}, "3 values"},
		{nil, nil, "0 values"},
	} {
		err := want.Compare(golden.Tensor{Shape: test.shape, Data: test.data}, within)
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%v: %v, want %q", test.data, err, test.says)
		}
	}
	nan := golden.Tensor{Shape: []int{1}, Data: []float32{float32(math.NaN())}}
	if nan.Compare(nan, func(float64) float64 { return 1 }) == nil {
		t.Error("NaN passes as NaN")
	}
	if one := (golden.Tensor{Shape: []int{1}, Data: []float32{1}}); one.Compare(golden.Tensor{Shape: []int{1}, Data: []float32{2}}, func(float64) float64 { return math.NaN() }) == nil {
		t.Error("a tolerance that is not a number lets everything pass")
	}
}

func TestOutputsKeepTheirOrder(t *testing.T) {
	var o golden.Outputs
	if err := json.Unmarshal([]byte(`{"z": {"atol": 1}, "a": {"shape": [1], "atol": 0.5}, "m": {}}`), &o); err != nil {
		t.Fatal(err)
	}
	if len(o) != 3 || o[0] != (golden.Output{Name: "z", Atol: 1}) || o[1] != (golden.Output{Name: "a", Atol: 0.5}) || o[2].Name != "m" || !math.IsNaN(o[2].Atol) {
		t.Errorf("%+v", o)
	}
}

func TestIndexErrors(t *testing.T) {
	if _, err := golden.Index(t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("no index: %v", err)
	}
	for _, text := range []string{``, `[]`, `{"a": null}`, `{"../a": {}}`, `{"a": {"outputs": []}}`} {
		root := t.TempDir()
		write(t, filepath.Join(root, "index.json"), text)
		if _, err := golden.Index(root); err == nil || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A model whose norms have another eps is right up to its first norm: the failure says so.
func TestFailureNamesTheFirstModule(t *testing.T) {
	const name = "C_models/unet_sd15_fp16"
	cases, err := golden.Index("testdata")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, c := range cases {
		if c.Name != name {
			continue
		}
		for _, file := range []string{"config.json", "diffusion_pytorch_model.safetensors", "io.safetensors"} {
			text, err := os.ReadFile(filepath.Join("testdata", name, file))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(root, name, file), strings.Replace(string(text), `"norm_eps": 1e-05`, `"norm_eps": 0.01`, 1))
		}
		c.Root = root
		if err := c.Open(); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		generic, err := kernels.Lookup(kernels.Generic)
		if err != nil {
			t.Fatal(err)
		}
		err = runUNet(kerneltest.Engine(t, generic, workers), c)
		for _, says := range []string{"out.sample: ", "values off", "first off: down_blocks.0.resnets.0, whose last op is down_blocks.0.resnets.0.", "last right: conv_in"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v does not say %q", err, says)
			}
		}
		return
	}
	t.Fatalf("no case %s", name)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
