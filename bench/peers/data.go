package main

import "github.com/lanewise/lanewise/tensor"

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
