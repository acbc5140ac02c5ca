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

// transposed returns n matrices of rows × cols as cols × rows.
func transposed(s []float32, n, rows, cols int) []float32 {
	t := tensor.Aligned(len(s))
	for i := range n {
		from, to := s[i*rows*cols:], t[i*rows*cols:]
		for r := range rows {
			for c := range cols {
				to[c*rows+r] = from[r*cols+c]
			}
		}
	}
	return t
}

// swapped returns n × a × b × size values as n × b × a × size.
func swapped(s []float32, n, a, b, size int) []float32 {
	t := tensor.Aligned(len(s))
	for i := range n {
		for x := range a {
			for y := range b {
				copy(t[((i*b+y)*a+x)*size:][:size], s[((i*a+x)*b+y)*size:])
			}
		}
	}
	return t
}
