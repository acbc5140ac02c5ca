//go:build arm64 && !purego

package kernels

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/klauspost/cpuid/v2"

	"github.com/lanewise/lanewise/asm/neon"
)

// neonFeatures is what the assembly uses. The test beside this file compares with its Requires.
var neonFeatures = []cpuid.FeatureID{cpuid.ASIMD}

// makers lists what arm64 has beyond generic. Advanced SIMD is part of what Go requires of arm64, so
// it is not asked for: cpuid cannot, where the operating system tells nothing.
func makers() []entry {
	return []entry{{NEON, func() bool { return true }, neonSet}}
}

func neonSet() *Set {
	s := genericSet()
	s.ISA = NEON
	s.GEMM = neonBlocks(GEMM{
		MR: neon.MR, NR: neon.NR, Lanes: neon.Lanes,
		Tile:  func(a *TileArgs) { neon.Tile(unsafe.Pointer(a)) },
		Widen: func(a *WidenArgs) { neon.Widen(unsafe.Pointer(a)) },
	})
	s.WinogradInput = func(a *WinogradInputArgs) { neon.WinogradInput(unsafe.Pointer(a)) }
	s.WinogradOutput = func(a *WinogradOutputArgs) { neon.WinogradOutput(unsafe.Pointer(a)) }
	s.WinogradWeights = func(a *WinogradWeightsArgs) { neon.WinogradWeights(unsafe.Pointer(a)) }
	s.Queries = neon.Queries
	s.ToLanes = func(a *ToLanesArgs) { neon.ToLanes(unsafe.Pointer(a)) }
	s.Score = func(a *ScoreArgs) { neon.Score(unsafe.Pointer(a)) }
	s.Softmax = func(a *SoftmaxArgs) { neon.Softmax(unsafe.Pointer(a)) }
	s.Weigh = func(a *WeighArgs) { neon.Weigh(unsafe.Pointer(a)) }
	s.FromLanes = func(a *FromLanesArgs) { neon.FromLanes(unsafe.Pointer(a)) }
	s.Moments = func(a *MomentsArgs) { neon.Moments(unsafe.Pointer(a)) }
	s.Affine = func(a *AffineArgs) { neon.Affine(unsafe.Pointer(a)) }
	s.LayerNorm = func(a *LayerNormArgs) { neon.LayerNorm(unsafe.Pointer(a)) }
	s.Activate = func(a *ActivateArgs) { neon.Activate(unsafe.Pointer(a)) }
	s.Peak = func(a *PeakArgs) { neon.Peak(unsafe.Pointer(a)) }
	s.Triad = func(a *TriadArgs) { neon.Triad(unsafe.Pointer(a)) }
	return s
}

// neonBlocks derives the block sizes of g from this CPU's second-level cache: a sixteenth of it for
// a panel of B and as much again for the one that is fetched ahead, and a quarter for the rows of a
// block of A, which leaves half for partial sums, C, and what streams through. The cache counts from
// 128 KiB to 1 MiB, so that one that cores share (4 MiB for four or more) is not taken for one's own:
// KC is 160 to 1360, a multiple of 16 so that no round of Tile's loop is cut short.
func neonBlocks(g GEMM) GEMM {
	const value = 4 // bytes
	l2 := min(max(secondLevel(), 128<<10), 1<<20)
	g.KC = l2 / 16 / (g.NR * value) &^ 15
	rows := l2 / 4 / (g.KC * value)
	g.MC = (rows + g.MR - 1) / g.MR * g.MR
	return g
}

// secondLevel is the size of the second-level cache in bytes: what cpuid says, or Linux, or
// 512 KiB, which is what most cores have at least.
func secondLevel() int {
	if n := cpuid.CPU.Cache.L2; n > 0 {
		return n
	}
	const index2 = "/sys/devices/system/cpu/cpu0/cache/index2/"
	level, _ := os.ReadFile(index2 + "level")
	size, _ := os.ReadFile(index2 + "size") // such as 1024K
	kib, whole := strings.CutSuffix(strings.TrimSpace(string(size)), "K")
	n, err := strconv.Atoi(kib)
	if strings.TrimSpace(string(level)) != "2" || !whole || err != nil || n <= 0 {
		return 512 << 10
	}
	return n << 10
}
