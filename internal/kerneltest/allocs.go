package kerneltest

import "testing"

// NoAllocations fails the test where f allocates once it has run before. Under the race detector,
// which makes every sync.Pool forget at random, f runs once and nothing is counted.
func NoAllocations(t testing.TB, what string, f func()) {
	t.Helper()
	if raceEnabled {
		f()
		return
	}
	if n := testing.AllocsPerRun(20, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}
