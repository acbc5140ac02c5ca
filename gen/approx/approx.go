// Package approx holds the numbers of the approximations that package kernels states in Go, for the
// generators of every architecture. The hashes stored in kernels/hash_test.go tell where they differ
// from those.
package approx

import "math"

// kernels/exp.go.
const (
	Exp2Min        = -151
	ExpMin, ExpMax = -104, 89
	Log2E          = float32(math.Log2E)
	Ln2Hi, Ln2Lo   = float32(0x1.62e43p-1), float32(-0x1.05c61p-29)
	RoundMagic     = float32(3 << 22)
)

var (
	Exp2Poly = []float32{1, 0x1.62e43p-1, 0x1.ebfbdcp-3, 0x1.c6af7ap-5, 0x1.3b2dd2p-7, 0x1.5f0946p-10, 0x1.417a5cp-13}
	ExpPoly  = []float32{1, 1, 0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558acp-5, 0x1.12397ap-7, 0x1.6a5128p-10}
)

// Logistic holds the numbers of 1/(1 + e^−ρx): log₂e and ln 2 for this ρ, a polynomial, and where
// its argument is cut.
type Logistic struct {
	Log2E, Ln2 float32
	Poly       []float32
	Low, High  float32
}

// kernels/logistic.go.
var (
	LogisticUnit  = Logistic{Log2E, Ln2Hi, ExpPoly, -89, 88}
	LogisticQuick = Logistic{float32(1.702 * math.Log2E), 0x1.a10754p-2, []float32{1, 0x1.b3b646p+0,
		0x1.72ca76p+0, 0x1.a4b83p-1, 0x1.660cdep-2, 0x1.e9b3fp-4, 0x1.13431ep-5}, -52.2, 51.5}
)

const (
	BiasedMagic    = RoundMagic + 127
	GELUTanhLinear = float32(1.5957691216057308)
	GELUTanhCubic  = float32(0.07135481282820226)
)

// kernels/act.go.
const (
	TailCut   = -ExpMin
	TanhSmall = 0.625
	BellStep  = float32(0x1.62e4p0)
	BellCut   = 13.27
)

var (
	MillsNum = []float32{0.5, 0x1.51aadep-2, 0x1.a0a9e4p-4, 0x1.aa5e54p-7}
	MillsDen = []float32{1, 0x1.75178p+0, 0x1.bb8b04p-1, 0x1.04854p-2, 0x1.0b4fep-5}
	BellPoly = []float32{1, -0x1.00001ep-1, 0x1.fffe52p-4, -0x1.555ac4p-6, 0x1.573a7cp-9, -0x1.0fb6dep-12}
	TanhOdd  = []float32{-0x1.555532p-2, 0x1.1106fep-3, -0x1.b83792p-5, 0x1.520a3ap-6, -0x1.756d14p-8}
)
