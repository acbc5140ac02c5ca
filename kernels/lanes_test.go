package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// laneSizes are numbers of rows or columns around the edges of vectors of 8 and 16 lanes.
var laneSizes = []int{1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 40, 47, 80}

func TestToLanes(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for rows := 1; rows <= lanes; rows++ {
			for i, cols := range laneSizes {
				a := kernels.ToLanesArgs{Rows: rows, Cols: cols, Lanes: lanes, Scale: 0.3}
				a.SrcStride, a.DstStride = cols+(rows+i)%3*3, lanes+(rows+i)%2*5
				checkToLanes(t, set, a, uint64(rows*100+cols))
			}
		}
	})
}

func checkToLanes(t *testing.T, set *kernels.Set, a kernels.ToLanesArgs, seed uint64) {
	t.Helper()
	a.Src = guarded(t, kerneltest.Random(seed, (a.Rows-1)*a.SrcStride+a.Cols))
	a.Src[len(a.Src)/2] = float32(math.NaN())
	a.Dst = kerneltest.Guard(t, (a.Cols-1)*a.DstStride+a.Lanes)
	kerneltest.Fill(a.Dst)
	want := append([]float32(nil), a.Dst...) // untouched between the columns
	set.ToLanes(&a)
	for c := range a.Cols {
		for r := range a.Lanes {
			want[c*a.DstStride+r] = 0
			if r < a.Rows {
				want[c*a.DstStride+r] = a.Scale * a.Src[r*a.SrcStride+c]
			}
		}
	}
	kerneltest.Same(t, fmt.Sprintf("rows=%d/cols=%d/lanes=%d: Dst", a.Rows, a.Cols, a.Lanes), a.Dst, want)
}

func TestFromLanes(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for rows := 1; rows <= lanes; rows++ {
			for i, cols := range laneSizes {
				a := kernels.FromLanesArgs{Rows: rows, Cols: cols, Lanes: lanes, DstStride: cols + (rows+i)%3*3}
				checkFromLanes(t, set, a, uint64(rows*100+cols))
			}
		}
	})
}

func checkFromLanes(t *testing.T, set *kernels.Set, a kernels.FromLanesArgs, seed uint64) {
	t.Helper()
	a.Src, a.Scale = guarded(t, kerneltest.Random(seed, a.Cols*a.Lanes)), guarded(t, kerneltest.Random(seed+1, a.Lanes))
	a.Dst = kerneltest.Guard(t, (a.Rows-1)*a.DstStride+a.Cols)
	kerneltest.Fill(a.Dst)
	set.FromLanes(&a)
	for i, got := range a.Dst {
		r, c := i/a.DstStride, i%a.DstStride
		what := func() string {
			return fmt.Sprintf("rows=%d/cols=%d/lanes=%d: row %d, column %d", a.Rows, a.Cols, a.Lanes, r, c)
		}
		if c >= a.Cols {
			if !kerneltest.Untouched(got) {
				t.Fatalf("%s was written", what())
			}
			continue
		}
		if want := a.Scale[r] * a.Src[c*a.Lanes+r]; got != want {
			t.Fatalf("%s is %g, want %g", what(), got, want)
		}
	}
}
