// Command drift measures what the rounding errors of fast convolutions do to whole models, each algorithm
// beside the direct one:
//
//	go run ./bench/drift [-size 64] [-steps 20] [-algorithms auto,winograd2,winograd4,winograd6] [unet] [emoji]
//
// unet is a U-Net of Stable Diffusion 1.5's shape with random weights that keep the magnitude of what they
// multiply: how far one prediction is from the direct one, and how far the latents are after all steps of DDIM that
// begin with the same noise. emoji is the embedded model: how far its pictures are, in steps of 8 bits. The first
// needs 6 GB of memory, 2 GB of space for temporary files, and minutes.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"runtime"
	"strings"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("drift: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// settings is what the models share.
type settings struct {
	engine      *engine.Engine
	size, steps int
	algorithms  []conv.Algorithm // besides the direct one
}

func run() error {
	size := flag.Int("size", 64, "rows and columns of the U-Net's latents")
	steps := flag.Int("steps", 20, "of the sampler")
	names := flag.String("algorithms", "auto,winograd2,winograd4,winograd6", "what is forced wherever it fits, a `list`; auto is the choice by layer")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "goroutines of the engine")
	flag.Parse()
	e, err := engine.New(engine.Options{Workers: *workers})
	if err != nil {
		return err
	}
	defer e.Close()
	s := &settings{engine: e, size: *size, steps: *steps}
	for _, name := range strings.Split(*names, ",") {
		var a conv.Algorithm
		if err := a.UnmarshalText([]byte(name)); err != nil {
			return err
		}
		s.algorithms = append(s.algorithms, a)
	}
	models := map[string]func() error{"unet": s.unet, "emoji": s.emoji}
	chosen := flag.Args()
	if len(chosen) == 0 {
		chosen = []string{"unet", "emoji"}
	}
	for _, name := range chosen {
		measure := models[name]
		if measure == nil {
			fmt.Fprintln(os.Stderr, "models: unet, emoji")
			return fmt.Errorf("there is no model %q", name)
		}
		if err := measure(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// difference of a result from another: the root of their mean square and the largest, beside the root mean
// square of want.
func difference(got, want []float32) (rms, most float64) {
	var squares, errors float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		squares += float64(w) * float64(w)
		errors += d * d
		most = max(most, math.Abs(d))
	}
	scale := math.Sqrt(squares / float64(len(want)))
	return math.Sqrt(errors/float64(len(want))) / scale, most / scale
}
