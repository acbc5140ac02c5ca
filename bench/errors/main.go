// Command errors prints the rounding errors of every algorithm of a 3 × 3 convolution, against sums in
// float64, on normally distributed values: of the images of bench/shapes/errors.txt, and of images of half
// their size that are enlarged. AVX2, AVX-512 and NEON give the same figures.
//
//	go run ./bench/errors
//
// bench/peers prints the first table with oneDNN's algorithms beside.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/lanewise/lanewise/bench/internal/accuracy"
	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/engine"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("errors: ")
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	for _, enlarged := range []bool{false, true} {
		cases, err := accuracy.Cases(shapes.Files, enlarged)
		if err != nil {
			log.Fatal(err)
		}
		if enlarged {
			fmt.Println("\nof images that are enlarged to that size:")
		}
		fmt.Println()
		accuracy.Write(os.Stdout, cases, accuracy.Lanewise(e, cases))
	}
}
