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
		"cosine, as spaced":          "4286bbbc2dfe3ac2",
		"cosine, beta":               "3a152a875134c635",
		"cosine, exponential":        "6ee8ce47a8541e2f",
		"cosine, karras":             "5b4da4cc804b560d",
		"cosine, log-linear":         "f9e5271494335510",
		"cosine, lu":                 "d5de7523a03fc570",
		"exp, as spaced":             "ace4f4fd2c0dac9e",
		"exp, beta":                  "b5f45ba0eee2358d",
		"exp, exponential":           "fc2e8b0939625234",
		"exp, karras":                "2bcdac7227ea5286",
		"exp, log-linear":            "33724ff90ebf5db6",
		"exp, lu":                    "6131dfe871bb8e1c",
		"linear, as spaced":          "ac0d45fd667ee579",
		"linear, beta":               "3c404a5258d707cb",
		"linear, exponential":        "ffecbc8436b16ced",
		"linear, karras":             "934ed1d15622b975",
		"linear, log-linear":         "adf12db66171ab91",
		"linear, lu":                 "a66bf0cdbcc43b5f",
		"scaled_linear, as spaced":   "5a5c1add693899a4",
		"scaled_linear, beta":        "7273d11205a37740",
		"scaled_linear, exponential": "bf85e8265515481c",
		"scaled_linear, karras":      "dddc0e43ef4c9ea7",
		"scaled_linear, log-linear":  "b7ebb976f800fd6d",
		"scaled_linear, lu":          "33231f09f48c69ef",
		"sigmoid, as spaced":         "7a2492afd25624b4",
		"sigmoid, beta":              "66fc34a446fc1ac4",
		"sigmoid, exponential":       "05dd68309c0349a6",
		"sigmoid, karras":            "91838177d89cb5d0",
		"sigmoid, log-linear":        "7d15fee715103ef8",
		"sigmoid, lu":                "0c969679876cb23e",
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
