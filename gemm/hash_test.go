package gemm_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// hashes are those of products that every Set of assembly, on every machine, computes alike: the same
// bits whatever the tile, the blocks that its caches suggest, and the number of workers.
var hashes = []struct {
	m, k, n int
	glu     bool
	act     kernels.Act
	want    string
}{
	{1, 1, 1, false, kernels.Identity, "98fff63dfbc2595e"},
	{1, 1280, 320, false, kernels.Identity, "cebf7788ff798c22"}, // a matrix and a vector
	{2, 320, 1280, false, kernels.Identity, "10c41d4101993196"},
	{4, 3000, 67, false, kernels.Identity, "9c0b4c1e9f47649f"},
	{77, 768, 131, false, kernels.Identity, "bb9aa747453023df"},
	{301, 320, 97, false, kernels.Identity, "ed3d5855c8ccef2e"},
	{53, 5000, 70, false, kernels.Identity, "2499ab3170489fa5"}, // longer than any KC
	{35, 61, 129, true, kernels.Identity, "1ce283390eb104dc"},
	{35, 61, 129, false, kernels.SiLU, "80a257f5efe6803d"},
	{35, 61, 129, true, kernels.GELU, "8b9ee1f0624e6a47"},
}

func TestMulHashes(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		if set.ISA == kernels.Generic {
			t.Skip("generic rounds twice at times: it stays within the bound, not to the bit")
		}
		for _, workers := range []int{1, 3} {
			e := kerneltest.Engine(t, set, workers)
			for i, h := range hashes {
				rows := h.n
				pack := gemm.Pack
				if h.glu {
					rows, pack = 2*h.n, gemm.PackGLU
				}
				dst := tensor.MakeMat(h.m, h.n)
				ep := gemm.Epilogue{Bias: portable(3*i, 1, rows).Data, Act: h.act, Add: portable(3*i+1, h.m, h.n)}
				gemm.Mul(e, dst, portable(3*i+2, h.m, h.k), pack(e, portable(3*i+3, rows, h.k)), gemm.Prologue{}, ep)
				if got := hash(dst.Data); got != h.want {
					t.Errorf("%d×%d×%d, glu %v, %v, %d workers: %s, want %s", h.m, h.k, h.n, h.glu, h.act, workers, got, h.want)
				}
			}
		}
	})
}

// portable is a matrix of values between −1 and 1 that are the same on every machine: made of
// integers, with all 24 bits in use.
func portable(seed, rows, cols int) tensor.Mat {
	m := tensor.MakeMat(rows, cols)
	x := uint32(seed)*2654435761 + 1
	for i := range m.Data {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		m.Data[i] = float32(int32(x)>>7) / (1 << 24)
	}
	return m
}

// hash is FNV-1a of the values' bits.
func hash(values []float32) string {
	h := fnv.New64a()
	var b [4]byte
	for _, v := range values {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
		h.Write(b[:])
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
