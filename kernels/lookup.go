package kernels

import (
	"fmt"
	"os"
	"strings"
)

// entry is a maker: which CPUs can run it, and the Set it makes for this one.
type entry struct {
	isa    ISA
	usable func() bool
	make   func() *Set
}

var genericEntry = entry{Generic, func() bool { return true }, genericSet}

// sets holds the Sets this CPU can run, the best first, made once.
var sets = func() (sets []*Set) {
	for _, e := range append(makers(), genericEntry) {
		if e.usable() {
			sets = append(sets, e.make())
		}
	}
	return sets
}()

// Available returns the Sets that this CPU can run, the best first; the last is Generic.
func Available() []*Set { return append([]*Set(nil), sets...) }

// Lookup returns the Set for an instruction set, or an error where this CPU, this GOARCH or this
// build (-tags purego) does not have it.
func Lookup(isa ISA) (*Set, error) {
	var have []string
	for _, s := range sets {
		if s.ISA == isa {
			return s, nil
		}
		have = append(have, s.ISA.String())
	}
	return nil, fmt.Errorf("kernels: no %v on this machine or in this build (available: %s)", isa, strings.Join(have, ", "))
}

// Default returns the Set that LANEWISE_ISA names, or the best one where it is not set. A name
// that is unknown or cannot run here is an error, never a silent fallback.
func Default() (*Set, error) {
	name := os.Getenv("LANEWISE_ISA")
	if name == "" {
		return sets[0], nil
	}
	isa, err := ParseISA(name)
	if err != nil {
		return nil, fmt.Errorf("LANEWISE_ISA: %w", err)
	}
	set, err := Lookup(isa)
	if err != nil {
		return nil, fmt.Errorf("LANEWISE_ISA=%s: %w", name, err)
	}
	return set, nil
}
