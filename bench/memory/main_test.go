package main

import (
	"runtime"
	"testing"
)

func TestSizeIn(t *testing.T) {
	text := []byte("Name:\tmemory\nVmHWM:\t    2000 kB\nVmRSS:\t1024 kB\nThreads:\t3\nVmBad:\tx kB\n")
	for _, c := range []struct {
		field string
		size  int
		known bool
	}{{"VmHWM", 2000 << 10, true}, {"VmRSS", 1 << 20, true}, {"VmPeak", 0, false}, {"Threads", 0, false}, {"VmBad", 0, false}} {
		if size, known := sizeIn(text, c.field); size != c.size || known != c.known {
			t.Errorf("%s: %d, %v; want %d, %v", c.field, size, known, c.size, c.known)
		}
	}
}

// TestPeak has the peak rise with memory that is written, and begin anew.
func TestPeak(t *testing.T) {
	before, known := residentBefore()
	if !known {
		t.Skip("what is resident is not known here")
	}
	const size = 64 << 20
	memory := make([]byte, size)
	for i := range memory {
		memory[i] = 1
	}
	if peak, known := residentPeak(); !known || peak < before+size*3/4 {
		t.Errorf("peak %d after %d and %d more, %v", peak, before, size, known)
	}
	runtime.KeepAlive(memory)
}

// TestMeasure has the scores of a call, 32 MB, be nowhere.
func TestMeasure(t *testing.T) {
	s := shape{heads: 2, tokens: 2048, size: 8}
	m, err := s.measure(2)
	if err != nil {
		t.Fatal(err)
	}
	if !m.known {
		t.Skip("what is resident is not known here")
	}
	if m.beyond > s.scores()/4 {
		t.Errorf("%d bytes beyond the operands; the scores would be %d", m.beyond, s.scores())
	}
}

func TestNumbers(t *testing.T) {
	if got, err := numbers("1, 20"); err != nil || len(got) != 2 || got[0] != 1 || got[1] != 20 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "0", "-1", "1,x"} {
		if got, err := numbers(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
