package gemm

// Panels returns the memory that p is laid out in.
func Panels(p *Packed) []float32 { return p.data }
