package main

import (
	"fmt"

	"github.com/klauspost/cpuid/v2"

	"github.com/lanewise/lanewise/bench/internal/measure"
)

// triadSizes are how many bytes the triad goes over: what stays in the last cache but in no worker's own, and
// several times what any cache holds.
func triadSizes(workers int) (cached, uncached int) {
	l2, l3 := max(cpuid.CPU.Cache.L2, 1<<20), max(cpuid.CPU.Cache.L3, 16<<20) // where the processor does not say
	const beyond = 4
	return min(beyond*workers*l2, max(l3/2, l2)), beyond * l3
}

// printTriad prints what memory can do, for norms to be compared with.
func printTriad(o options) error {
	fmt.Print("\ntriad a[i] = b[i] + s·c[i], GB/s of the three arrays\n\n| MB | workers |")
	rule := "\n| -: | ------: |"
	for _, isa := range o.isas {
		fmt.Printf(" %v |", isa)
		rule += " ---: |"
	}
	fmt.Println(rule)
	for _, workers := range o.workers {
		cached, uncached := triadSizes(workers)
		for _, bytes := range []int{cached, uncached} {
			fmt.Printf("| %.0f | %d |", float64(bytes)/1e6, workers)
			for _, isa := range o.isas {
				e, err := newOurs(isa, workers)
				if err != nil {
					return err
				}
				fmt.Printf(" %.1f |", measure.NewTriad(e.Engine, bytes).Rate())
				e.Close()
			}
			fmt.Println()
		}
	}
	return nil
}
