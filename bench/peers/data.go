package main

import "github.com/lanewise/lanewise/tensor"

// random makes n values between −1 and 1, always the same for a seed.
func random(seed uint32, n int) []float32 {
	s, x := tensor.Aligned(n), 2463534242^seed*2654435761
	for i := range s {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		s[i] = float32(int32(x)) / (1 << 31)
	}
	return s
}

// transposed returns rows × cols as cols × rows.
func transposed(s []float32, rows, cols int) []float32 {
	t := tensor.Aligned(len(s))
	for r := range rows {
		for c := range cols {
			t[c*rows+r] = s[r*cols+c]
		}
	}
	return t
}
