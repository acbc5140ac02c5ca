package sampler_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// The same bits on every machine: a hash of a guided run of each method, taken on amd64.
func TestBits(t *testing.T) {
	want := map[string]string{
		"DDIM":                                 "0a5993ca76104792",
		"DDIM, eta":                            "34c7aa7a463afff5",
		"DDPM, small":                          "e903a7c7f2754d50",
		"DDPM, large":                          "97056c1144464a11",
		"DDPM, learned":                        "938f83e688fe07d0",
		"DDPM, range":                          "8c0873f5f5e3c0a2",
		"PNDM":                                 "4072196ca2e871df",
		"PNDM, Runge-Kutta":                    "593be1cc23244c51",
		"Euler":                                "317b48362474482d",
		"Euler, churn":                         "ef20f1ca9d77890c",
		"Euler ancestral":                      "90c227ff050d98eb",
		"Heun":                                 "94923bbf7d4d385a",
		"DPMSolver, noise false, order 1":      "9cebfe36c6be5a95",
		"DPMSolver, noise false, order 1, SDE": "e903a7c7f2754d50",
		"DPMSolver, noise false, order 2":      "a3ced767f42019c7",
		"DPMSolver, noise false, heun":         "217c7bb6db658633",
		"DPMSolver, noise false, order 2, SDE": "809e9bf70fc76554",
		"DPMSolver, noise false, order 3":      "7c178bc03d2d478f",
		"UniPC, noise false, order 1":          "8be5ba1fec86914d",
		"UniPC, noise false, order 2":          "02945132671669cb",
		"UniPC, noise false, order 3":          "4643d15594c5232d",
		"UniPC, noise false, order 4":          "4d85ac94e4ff7872",
		"DPMSolver, noise true, order 1":       "09437631d8f07a4f",
		"DPMSolver, noise true, order 1, SDE":  "58898d8fc81ac2ab",
		"DPMSolver, noise true, order 2":       "ea828d9ccea89988",
		"DPMSolver, noise true, heun":          "3f497b2acf298162",
		"DPMSolver, noise true, order 2, SDE":  "bc150c30252e44d9",
		"DPMSolver, noise true, order 3":       "1cb17acdda3cae6c",
		"UniPC, noise true, order 1":           "f5a812efdfa4ee6e",
		"UniPC, noise true, order 2":           "57846809ad686d9e",
		"UniPC, noise true, order 3":           "6e04425699936df0",
		"UniPC, noise true, order 4":           "eb6f30360727e60b",
		"LCM":                                  "6bc91a63140a9173",
		"TCD":                                  "b15b76d6643ff186",
	}
	for _, test := range every(nil) {
		x := tensor.Make(2, 4, 4, 3)
		sampler.Noise(x, 1)
		m := sampler.WithNoise(test.method, sampler.NewGenerator(2))
		if got := hash(finish(t, sampler.Guide(half, 1.5), x, test.points(20), m).Data); got != want[test.name] {
			t.Errorf("%q: %q,", test.name, got)
		}
	}
}

// The same points on every machine: a hash of all their bits, taken on amd64.
func TestPointsBits(t *testing.T) {
	want := map[string]string{
		"cosine, as spaced":          "b91d0547cb2648d7",
		"cosine, beta":               "5135c567914417d5",
		"cosine, exponential":        "25234677d6347ef6",
		"cosine, karras":             "d1b44634877b3f6c",
		"cosine, log-linear":         "470a485e1c11fa47",
		"cosine, lu":                 "d6d0c0a7bbf74de9",
		"exp, as spaced":             "8269f9fdc6493d26",
		"exp, beta":                  "8f096143feb9d429",
		"exp, exponential":           "b66c4f131a9ce301",
		"exp, karras":                "14812fe3ef69675b",
		"exp, log-linear":            "6656d89d4f7578c6",
		"exp, lu":                    "0e6db6ad174d1946",
		"linear, as spaced":          "c83e61452198b511",
		"linear, beta":               "cd82ca49779d08ae",
		"linear, exponential":        "1a1f6c16fce3c6d4",
		"linear, karras":             "f1989caf6b8771db",
		"linear, log-linear":         "5fb208f56e99d50f",
		"linear, lu":                 "85235834e6735a25",
		"scaled_linear, as spaced":   "57764c804ada9925",
		"scaled_linear, beta":        "bffa573f0b5505a9",
		"scaled_linear, exponential": "91dcdb2011e1bf03",
		"scaled_linear, karras":      "f8b4c4c2dbb93e20",
		"scaled_linear, log-linear":  "94efe4006bd3ce39",
		"scaled_linear, lu":          "59360a3d78c56fc4",
		"sigmoid, as spaced":         "1008898f03e5f86f",
		"sigmoid, beta":              "90cb8b6e616a92a0",
		"sigmoid, exponential":       "d2ec27074dd00b88",
		"sigmoid, karras":            "869c7568635151ff",
		"sigmoid, log-linear":        "a77077e888fe59fd",
		"sigmoid, lu":                "118ddf62fcb66d3e",
	}
	betas := map[string][]float64{
		"linear": sampler.LinearBetas(1000, 0.0001, 0.02), "scaled_linear": sampler.ScaledLinearBetas(1000, 0.00085, 0.012),
		"sigmoid": sampler.SigmoidBetas(1000, 0.0001, 0.02), "cosine": sampler.CosineBetas(1000), "exp": sampler.ExponentialBetas(1000),
	}
	for name, betas := range betas {
		for sigmas := sampler.AsSpaced; sigmas <= sampler.LogLinear; sigmas++ {
			s := sampler.Schedule{Levels: sampler.NewLevels(betas), Spacing: sampler.Linspace, Fractional: true, Sigmas: sigmas}
			points, err := s.Points(25)
			if err != nil {
				t.Fatal(err)
			}
			sum := fnv.New64a()
			for _, p := range points {
				if err := binary.Write(sum, binary.LittleEndian, p); err != nil {
					t.Fatal(err)
				}
			}
			key := fmt.Sprintf("%s, %v", name, sigmas)
			if got := fmt.Sprintf("%016x", sum.Sum64()); got != want[key] {
				t.Errorf("%q: %q,", key, got)
			}
		}
	}
}
