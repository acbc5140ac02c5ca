// Command conditioning measures what each way of conditioning adds to a step of a U-Net of Stable
// Diffusion 1.5's shape: 860 million weights, latents of 64 × 64, one image.
//
//	go run ./bench/conditioning [-rounds 5] [-size 64] [-workers 0]
//
// Every mechanism is timed in turns with the same model without it, and what is printed are medians
// over the rounds of the differences and of the ratios within a round: a table in Markdown. Weights
// are zeros of float16, which take no time to make and as long to multiply.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/lanewise/lanewise/engine"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 5, "rounds, each of which runs everything once")
	size := flag.Int("size", 64, "rows and columns of the latents")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "goroutines of the engine")
	flag.Parse()
	if *rounds < 1 {
		log.Fatal("conditioning: -rounds must be at least 1")
	}
	e, err := engine.New(engine.Options{Workers: *workers})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	dir, err := os.MkdirTemp("", "conditioning")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b := &bench{engine: e, dir: dir, size: *size, rounds: *rounds}
	fmt.Printf("%s, %d workers, %d rounds, latents of %d×%d\n\n", e.Set().ISA, e.Workers(), b.rounds, b.size, b.size)
	fmt.Println("| mechanism | step without, ms | extra, ms | extra | operations | once per prompt or picture, ms |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, measure := range []func() error{b.contexts, b.embeddings, b.scaleShift, b.concat, b.residuals, b.norms, b.guidance} {
		if err := measure(); err != nil {
			log.Print(err)
			os.RemoveAll(dir)
			os.Exit(1)
		}
		runtime.GC()
	}
}

// bench is what measurements share.
type bench struct {
	engine       *engine.Engine
	dir          string
	size, rounds int
}

// run is something that is timed.
type run func(ctx context.Context) error

// mechanism is a row of the table.
type mechanism struct {
	name string
	run
	flop float64       // of the run, 0 where it is not counted
	once time.Duration // what was spent before the steps
}

// table times mechanisms in turns with the run that has none of them, and prints a row for each.
func (b *bench) table(without mechanism, with ...mechanism) error {
	all := append([]mechanism{without}, with...)
	times := make([][]float64, len(all)) // in ms, by round
	for round := range b.rounds + 1 {
		for i, m := range all {
			start := time.Now()
			if err := m.run(context.Background()); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if round > 0 { // the first warms up
				times[i] = append(times[i], 1e3*time.Since(start).Seconds())
			}
		}
	}
	for i, m := range with {
		var extra, ratio []float64
		for round, t := range times[i+1] {
			extra = append(extra, t-times[0][round])
			ratio = append(ratio, 100*(t/times[0][round]-1))
		}
		operations, once := "", ""
		if m.flop > 0 {
			operations = fmt.Sprintf("%+.1f GFLOP (%+.2f %%)", (m.flop-without.flop)/1e9, 100*(m.flop/without.flop-1))
		}
		if m.once > 0 {
			once = fmt.Sprintf("%.0f", 1e3*m.once.Seconds())
		}
		fmt.Printf("| %s | %.0f | %+.1f | %+.1f %% | %s | %s |\n", m.name, median(times[0]), median(extra), median(ratio), operations, once)
	}
	return nil
}

func median(s []float64) float64 {
	slices.Sort(s)
	return s[len(s)/2]
}
