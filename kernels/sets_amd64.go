//go:build amd64 && !purego

package kernels

import (
	"unsafe"

	"github.com/klauspost/cpuid/v2"

	"github.com/lanewise/lanewise/asm/avx2"
	"github.com/lanewise/lanewise/asm/avx512"
)

// What the assembly packages use. The test beside this file compares with their Requires.
var (
	avx2Features   = []cpuid.FeatureID{cpuid.CMOV, cpuid.SSE, cpuid.AVX, cpuid.AVX2, cpuid.F16C, cpuid.FMA3, cpuid.BMI2}
	avx512Features = append([]cpuid.FeatureID{cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL}, avx2Features...)
)

// makers lists what amd64 has beyond generic, the best first. cpuid reports a feature only where
// the operating system saves its registers too.
func makers() []entry {
	return []entry{
		{AVX512, func() bool { return cpuid.CPU.Supports(avx512Features...) }, avx512Set},
		{AVX2, func() bool { return cpuid.CPU.Supports(avx2Features...) }, avx2Set},
	}
}

func avx2Set() *Set {
	s := genericSet()
	s.ISA = AVX2
	s.GEMM = blocks(GEMM{
		MR: avx2.MR, NR: avx2.NR, Lanes: avx2.Lanes,
		Tile:  func(a *TileArgs) { avx2.Tile(unsafe.Pointer(a)) },
		Widen: func(a *WidenArgs) { avx2.Widen(unsafe.Pointer(a)) },
	})
	s.WinogradInput = func(a *WinogradInputArgs) { avx2.WinogradInput(unsafe.Pointer(a)) }
	s.WinogradOutput = func(a *WinogradOutputArgs) { avx2.WinogradOutput(unsafe.Pointer(a)) }
	s.WinogradWeights = func(a *WinogradWeightsArgs) { avx2.WinogradWeights(unsafe.Pointer(a)) }
	s.Queries = avx2.Queries
	s.ToLanes = func(a *ToLanesArgs) { avx2.ToLanes(unsafe.Pointer(a)) }
	s.Score = func(a *ScoreArgs) { avx2.Score(unsafe.Pointer(a)) }
	s.Softmax = func(a *SoftmaxArgs) { avx2.Softmax(unsafe.Pointer(a)) }
	s.Weigh = func(a *WeighArgs) { avx2.Weigh(unsafe.Pointer(a)) }
	s.FromLanes = func(a *FromLanesArgs) { avx2.FromLanes(unsafe.Pointer(a)) }
	s.Moments = func(a *MomentsArgs) { avx2.Moments(unsafe.Pointer(a)) }
	s.Affine = func(a *AffineArgs) { avx2.Affine(unsafe.Pointer(a)) }
	s.LayerNorm = func(a *LayerNormArgs) { avx2.LayerNorm(unsafe.Pointer(a)) }
	s.Activate = func(a *ActivateArgs) { avx2.Activate(unsafe.Pointer(a)) }
	s.Peak = func(a *PeakArgs) { avx2.Peak(unsafe.Pointer(a)) }
	s.Triad = func(a *TriadArgs) { avx2.Triad(unsafe.Pointer(a)) }
	return s
}

func avx512Set() *Set {
	s := avx2Set()
	s.ISA = AVX512
	s.GEMM = blocks(GEMM{
		MR: avx512.MR, NR: avx512.NR, Lanes: avx512.Lanes,
		Tile:  func(a *TileArgs) { avx512.Tile(unsafe.Pointer(a)) },
		Widen: func(a *WidenArgs) { avx512.Widen(unsafe.Pointer(a)) },
	})
	s.WinogradInput = func(a *WinogradInputArgs) { avx512.WinogradInput(unsafe.Pointer(a)) }
	s.WinogradOutput = func(a *WinogradOutputArgs) { avx512.WinogradOutput(unsafe.Pointer(a)) }
	s.WinogradWeights = func(a *WinogradWeightsArgs) { avx512.WinogradWeights(unsafe.Pointer(a)) }
	s.Queries = avx512.Queries
	s.ToLanes = func(a *ToLanesArgs) { avx512.ToLanes(unsafe.Pointer(a)) }
	s.Score = func(a *ScoreArgs) { avx512.Score(unsafe.Pointer(a)) }
	s.Softmax = func(a *SoftmaxArgs) { avx512.Softmax(unsafe.Pointer(a)) }
	s.Weigh = func(a *WeighArgs) { avx512.Weigh(unsafe.Pointer(a)) }
	s.FromLanes = func(a *FromLanesArgs) { avx512.FromLanes(unsafe.Pointer(a)) }
	s.Moments = func(a *MomentsArgs) { avx512.Moments(unsafe.Pointer(a)) }
	s.Affine = func(a *AffineArgs) { avx512.Affine(unsafe.Pointer(a)) }
	s.LayerNorm = func(a *LayerNormArgs) { avx512.LayerNorm(unsafe.Pointer(a)) }
	s.Activate = func(a *ActivateArgs) { avx512.Activate(unsafe.Pointer(a)) }
	s.Peak = func(a *PeakArgs) { avx512.Peak(unsafe.Pointer(a)) }
	s.Triad = func(a *TriadArgs) { avx512.Triad(unsafe.Pointer(a)) }
	return s
}

// blocks derives the block sizes of g from this CPU's second-level cache: an eighth of it for a panel
// of 64 columns of B, as much again for the one that is fetched ahead, and a quarter for the
// rows of a block of A, which leaves half for partial sums, C, and what streams through. Longer
// chains are cut into chunks of KC; more rows let a panel of B, which comes from memory, do more
// work, but touch more pages of C. On an Intel server core with 2 MiB these were within 3 % of the
// best of KC 256..2048 and MC 48..384 on nine shapes of bench/shapes.
func blocks(g GEMM) GEMM {
	l2 := cpuid.CPU.Cache.L2
	if l2 <= 0 {
		l2 = 512 << 10
	}
	const value = 4 // bytes
	g.KC = l2 / 8 / (64 * value)
	rows := l2 / 4 / (g.KC * value)
	g.MC = (rows + g.MR - 1) / g.MR * g.MR
	return g
}
