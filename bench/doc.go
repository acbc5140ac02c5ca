// Package bench holds Lanewise's benchmarks: every operator on the layer shapes of real models
// (shapes/*.txt), on every instruction set, in GFLOP/s or GB/s and in % of what this machine's
// registers or memory can do, measured in the same process.
//
//	go test ./bench -bench 'GEMM/isa=avx512' -run '^$'
package bench
