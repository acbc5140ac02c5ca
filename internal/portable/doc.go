// Package portable holds elementary functions of float64, and one of float32, that have the same bits on
// every machine.
//
// The standard library's differ: math.Exp and math.Log are assembly on some architectures, and
// where there is a fused multiply-add the compiler may use it in the others. Here every product
// is rounded by an explicit conversion before it is added to anything, which the language
// promises to keep, and what remains — the four operations, math.FMA and integer arithmetic — is
// exact or correctly rounded everywhere. math.Sqrt is correctly rounded by IEEE 754 and needs no
// counterpart here.
//
// Results are within 1 ulp of the true value, and within 2⁻¹⁰⁷⁴ where they are subnormal. But for Exp32, the
// polynomials are those of Sun's fdlibm (Kwok Ng's, 1993), which is freely redistributable.
package portable
