package attention_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// problem is the operands of one call of Attend.
type problem struct {
	dst, q tensor.Mat
	kv     []attention.KV
	shape  attention.Shape
}

// sizes describe a problem of random operands.
type sizes struct {
	batch, heads, queries, size int
	keys                        []int // of each context
	causal                      bool
	slack                       int // columns beside each matrix's own
}

func (s sizes) String() string {
	return fmt.Sprintf("batch=%d/heads=%d/queries=%d/keys=%v/size=%d/causal=%v", s.batch, s.heads, s.queries, s.keys, s.size, s.causal)
}

func (s sizes) problem(t testing.TB, seed uint64) problem {
	cols := s.heads * s.size
	p := problem{
		dst: guarded(t, s.batch*s.queries, cols, cols+s.slack, 0), q: guarded(t, s.batch*s.queries, cols, cols+s.slack, seed),
		shape: attention.Shape{Batch: s.batch, Heads: s.heads, Causal: s.causal},
	}
	for i, keys := range s.keys {
		p.kv = append(p.kv, attention.KV{
			K: guarded(t, s.batch*keys, cols, cols+s.slack, seed+uint64(2*i+1)), V: guarded(t, s.batch*keys, cols, cols+s.slack, seed+uint64(2*i+2)),
		})
	}
	kerneltest.Fill(p.dst.Data)
	return p
}

// guarded is a random matrix that ends where readable memory ends.
func guarded(t testing.TB, rows, cols, stride int, seed uint64) tensor.Mat {
	m := tensor.Mat{Rows: rows, Cols: cols, Stride: stride, Data: kerneltest.Guard(t, (rows-1)*stride+cols)}
	copy(m.Data, kerneltest.Random(seed, len(m.Data)))
	return m
}

// head cuts the rows of an image and the columns of a head out of m, contiguous.
func head(m tensor.Mat, batch, heads, image, h int) (v []float32) {
	tokens, size := m.Rows/batch, m.Cols/heads
	for r := range tokens {
		v = append(v, m.Row(image*tokens + r)[h*size:(h+1)*size]...)
	}
	return v
}

// bias is the mask and causality of one context for an image and a head, or nil.
func (p *problem) bias(kv attention.KV, image, h int) []float32 {
	batch := p.shape.Batch
	queries, keys := p.q.Rows/batch, kv.K.Rows/batch
	if kv.Mask.Data == nil && !p.shape.Causal {
		return nil
	}
	bias := make([]float32, queries*keys)
	for i := range queries {
		for j := range keys {
			switch m := kv.Mask; {
			case m.Data == nil:
			case m.Rows == batch:
				bias[i*keys+j] = m.Row(image)[j]
			case m.Rows == batch*queries:
				bias[i*keys+j] = m.Row(image*queries + i)[j]
			default:
				bias[i*keys+j] = m.Row((image*p.shape.Heads+h)*queries + i)[j]
			}
			if p.shape.Causal && j > i {
				bias[i*keys+j] = float32(math.Inf(-1))
			}
		}
	}
	return bias
}

// contexts are those of softmaxes of their own: one, where the problem's are joint.
func (p *problem) contexts() []attention.KV {
	if !p.shape.Joint {
		return p.kv
	}
	batch, total := p.shape.Batch, 0
	for _, kv := range p.kv {
		total += kv.K.Rows / batch
	}
	cols, queries := p.q.Cols, p.q.Rows/batch
	all := attention.KV{K: tensor.MakeMat(batch*total, cols), V: tensor.MakeMat(batch*total, cols), Mask: tensor.MakeMat(batch*p.shape.Heads*queries, total)}
	from := 0
	for _, kv := range p.kv {
		keys := kv.K.Rows / batch
		for image := range batch {
			for j := range keys {
				copy(all.K.Row(image*total+from+j), kv.K.Row(image*keys+j))
				copy(all.V.Row(image*total+from+j), kv.V.Row(image*keys+j))
			}
			for h := range p.shape.Heads {
				bias := p.bias(kv, image, h)
				for i := range queries {
					row := all.Mask.Row((image*p.shape.Heads+h)*queries + i)
					if bias != nil {
						copy(row[from:from+keys], bias[i*keys:])
					}
				}
			}
		}
		from += keys
	}
	return []attention.KV{all}
}

// check runs Attend with one and more workers and compares with the truth in float64.
func (p problem) check(t *testing.T, set *kernels.Set) {
	t.Helper()
	batch, heads := p.shape.Batch, p.shape.Heads
	queries, size := p.q.Rows/batch, p.q.Cols/heads
	attention.Attend(kerneltest.Engine(t, set, 2), p.dst, p.q, p.kv, p.shape)
	for i, v := range p.dst.Data {
		if i%p.dst.Stride >= p.dst.Cols && !kerneltest.Untouched(v) {
			t.Fatalf("row %d, column %d of dst was written", i/p.dst.Stride, i%p.dst.Stride)
		}
	}
	scale := float64(p.shape.Scale)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(size))
	}
	for image := range batch {
		for h := range heads {
			want, bound := make([]float64, queries*size), make([]float64, queries*size)
			for _, kv := range p.contexts() {
				keys := kv.K.Rows / batch
				out, off := ref.Attention(head(p.q, batch, heads, image, h), head(kv.K, batch, heads, image, h),
					head(kv.V, batch, heads, image, h), p.bias(kv, image, h), queries, keys, size, scale)
				weight := 1.0
				if kv.Scale != 0 {
					weight = float64(kv.Scale)
				}
				for i := range out {
					want[i] += weight * out[i]
					bound[i] += math.Abs(weight)*(off[i]+0x1p-22*math.Abs(out[i])) + 0x1p-149
				}
			}
			kerneltest.Near(t, fmt.Sprintf("image %d, head %d: dst", image, h), head(p.dst, batch, heads, image, h), want,
				func(i int) float64 { return bound[i] })
		}
	}
}

// shapes have edges of tiles, of key blocks, of heads, and several of everything.
var shapes = []sizes{
	{batch: 1, heads: 1, queries: 1, keys: []int{1}, size: 1},
	{batch: 1, heads: 1, queries: 1, keys: []int{77}, size: 64},
	{batch: 1, heads: 2, queries: 7, keys: []int{7}, size: 8},
	{batch: 2, heads: 3, queries: 33, keys: []int{95}, size: 40, slack: 5},
	{batch: 2, heads: 2, queries: 64, keys: []int{96}, size: 5, slack: 1},
	{batch: 1, heads: 2, queries: 65, keys: []int{97}, size: 3},
	{batch: 1, heads: 8, queries: 100, keys: []int{77}, size: 20},
	{batch: 3, heads: 1, queries: 13, keys: []int{300}, size: 80},
	{batch: 1, heads: 1, queries: 37, keys: []int{67}, size: 160},
	{batch: 1, heads: 1, queries: 40, keys: []int{100}, size: 512},
	{batch: 1, heads: 2, queries: 600, keys: []int{200}, size: 16, slack: 3},
	{batch: 2, heads: 2, queries: 50, keys: []int{77, 4}, size: 24},
	{batch: 1, heads: 1, queries: 9, keys: []int{1, 200, 3}, size: 12, slack: 4},
	{batch: 2, heads: 3, queries: 70, keys: []int{77, 4, 16}, size: 20, slack: 3},
	{batch: 1, heads: 2, queries: 45, keys: []int{20, 257, 77}, size: 10},
	{batch: 1, heads: 1, queries: 50, keys: []int{150, 77, 200}, size: 12},
	{batch: 2, heads: 2, queries: 130, keys: []int{130}, size: 8, causal: true},
	{batch: 1, heads: 1, queries: 97, keys: []int{97}, size: 8, causal: true},
	{batch: 1, heads: 1, queries: 5, keys: []int{300}, size: 8, causal: true},
	{batch: 1, heads: 1, queries: 300, keys: []int{5}, size: 8, causal: true},
	{batch: 1, heads: 2, queries: 290, keys: []int{290, 7}, size: 4, causal: true},
}

func TestAttend(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for i, s := range shapes {
			t.Run(s.String(), func(t *testing.T) {
				p := s.problem(t, uint64(10*i+1))
				for c := range p.kv[1:] {
					p.kv[1+c].Scale = float32(c) - 0.5
				}
				p.check(t, set)
			})
		}
	})
}

// Contexts that share a softmax are as one, whose keys stand one behind the other.
func TestAttendJoint(t *testing.T) {
	inf := float32(math.Inf(1))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for i, s := range shapes {
			if s.causal {
				continue
			}
			t.Run(s.String(), func(t *testing.T) {
				p := s.problem(t, uint64(10*i+1))
				p.shape.Joint = true
				p.check(t, set)
				last := &p.kv[len(p.kv)-1]
				keys := s.keys[len(s.keys)-1]
				last.Mask = tensor.MakeMat(s.batch, keys)
				for i := range last.Mask.Data {
					last.Mask.Data[i] = []float32{0.5, -inf, -10000}[i%3]
				}
				p.check(t, set)
				for i := range last.Mask.Data {
					last.Mask.Data[i] = -inf
				}
				p.check(t, set)
			})
		}
	})
}

// Keys at the end that a mask takes out do not change a bit, however many they are.
func TestAttendPadding(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		p := sizes{batch: 1, heads: 2, queries: 70, keys: []int{77, 4}, size: 12}.problem(t, 7)
		e := kerneltest.Engine(t, set, 2)
		attention.Attend(e, p.dst, p.q, p.kv, p.shape)
		padded := tensor.MakeMat(p.dst.Rows, p.dst.Cols)
		for _, keys := range []int{78, 130, 300} {
			kv := slices.Clone(p.kv)
			for i := range kv {
				own := kv[i].K.Rows
				k, v := tensor.MakeMat(keys, p.q.Cols), tensor.MakeMat(keys, p.q.Cols)
				for r := range own {
					copy(k.Row(r), kv[i].K.Row(r))
					copy(v.Row(r), kv[i].V.Row(r))
				}
				kv[i] = attention.KV{K: k, V: v, Mask: tensor.MakeMat(1, keys)}
				for r := own; r < keys; r++ {
					kv[i].Mask.Data[r] = float32(math.Inf(-1))
				}
			}
			attention.Attend(e, padded, p.q, kv, p.shape)
			kerneltest.Same(t, fmt.Sprintf("%d keys", keys), padded.Data, p.dst.Data)
		}
	})
}

// Contexts that some queries, or all, take nothing from, and scales of every size.
func TestAttendContexts(t *testing.T) {
	inf := float32(math.Inf(-1))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, keys := range [][]int{{77, 16}, {16, 77, 4}, {200, 30}, {30, 200, 130}} {
			for out := range keys {
				for _, scale := range []float32{1, -0.6, 1e-12, 1e12} {
					p := sizes{batch: 2, heads: 2, queries: 35, keys: keys, size: 8}.problem(t, 3)
					mask := tensor.MakeMat(2*35, keys[out])
					for r := range mask.Rows {
						for k := range mask.Row(r) {
							if r%3 > 0 {
								mask.Row(r)[k] = inf
							}
						}
					}
					p.kv[out].Mask = mask
					p.kv[len(keys)-1].Scale = scale
					t.Run(fmt.Sprintf("keys=%v/out=%d/scale=%g", keys, out, scale), func(t *testing.T) { p.check(t, set) })
				}
			}
		}
	})
}

// Masks of every number of rows, causal or not.
func TestAttendMasks(t *testing.T) {
	inf := float32(math.Inf(1))
	const batch, heads, queries, keys, size = 2, 2, 71, 110, 8
	masks := []struct {
		name string
		at   func(row, key int) float32
	}{
		{"keys taken out", func(_, key int) float32 { return []float32{0, -inf}[key%3/2] }},
		{"a bias", func(row, key int) float32 { return float32(row%9-4) + 0.1*float32(key%11) }},
		{"every key by -10000", func(_, _ int) float32 { return -10000 }},
		{"some keys by -10000", func(row, key int) float32 { return []float32{0, -10000}[(row+key)%2] }},
		{"every key by the lowest", func(_, _ int) float32 { return -math.MaxFloat32 }},
		{"some keys by the lowest", func(row, key int) float32 { return []float32{0, -math.MaxFloat32}[(row+key)%2] }},
		{"first block taken out", func(_, key int) float32 { return []float32{-inf, 0}[min(key/100, 1)] }},
		{"every key taken out", func(_, _ int) float32 { return -inf }},
		{"one key above all", func(_, key int) float32 { return []float32{0, math.MaxFloat32}[max(0, key-keys+2)] }},
	}
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, m := range masks {
			for _, rows := range []int{batch, batch * queries, batch * heads * queries} {
				for _, causal := range []bool{false, true} {
					t.Run(kerneltest.Name("mask", m.name, "rows", rows, "causal", causal), func(t *testing.T) {
						p := sizes{batch: batch, heads: heads, queries: queries, keys: []int{keys}, size: size, causal: causal, slack: 2}.problem(t, 3)
						mask := guarded(t, rows, keys, keys+3, 0)
						for r := range rows {
							for k := range keys {
								mask.Row(r)[k] = m.at(r, k)
							}
						}
						p.kv[0].Mask = mask
						p.check(t, set)
					})
				}
			}
		}
	})
}

// Where every key is masked by the lowest finite value, all weigh the same: exactly the mean.
func TestAttendUniform(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		p := sizes{batch: 1, heads: 1, queries: 3, keys: []int{128}, size: 4}.problem(t, 1)
		p.kv[0].Mask = tensor.MakeMat(1, 128)
		for k := range 128 {
			p.kv[0].Mask.Data[k] = -math.MaxFloat32
			copy(p.kv[0].V.Row(k), []float32{1, 2, float32(k % 2), -4})
		}
		attention.Attend(kerneltest.Engine(t, set, 1), p.dst, p.q, p.kv, p.shape)
		for q := range 3 {
			kerneltest.Same(t, "row", p.dst.Row(q), []float32{1, 2, 0.5, -4})
		}
	})
}

// Scores far beyond what an exponential could hold without the maximum taken off.
func TestAttendPeaky(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		p := sizes{batch: 1, heads: 2, queries: 40, keys: []int{250}, size: 16}.problem(t, 9)
		p.shape.Scale = 100
		p.check(t, set)
	})
}

// q, k and v as columns of one projection, and dst over q.
func TestAttendInPlace(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		const tokens, cols = 150, 48
		qkv := guarded(t, 2*tokens, 3*cols, 3*cols, 4)
		q, shape := qkv.Columns(0, cols), attention.Shape{Batch: 2, Heads: 3}
		kv := []attention.KV{{K: qkv.Columns(cols, 2*cols), V: qkv.Columns(2*cols, 3*cols)}, {K: qkv.Columns(cols, 2*cols), V: qkv.Columns(2*cols, 3*cols), Scale: 2}}
		dst := tensor.MakeMat(2*tokens, cols)
		attention.Attend(e, dst, q, kv, shape)
		attention.Attend(e, q, q, kv, shape)
		for r := range dst.Rows {
			kerneltest.Same(t, fmt.Sprintf("row %d", r), q.Row(r), dst.Row(r))
		}
	})
}

// The same bits with any number of workers, for images together or one by one, and on every assembly
// Set.
func TestAttendSameBits(t *testing.T) {
	first := make(map[int][]float32)
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for i, s := range []sizes{
			{batch: 2, heads: 2, queries: 700, keys: []int{333, 10}, size: 20, slack: 7},
			{batch: 2, heads: 1, queries: 650, keys: []int{650}, size: 9, causal: true},
			{batch: 2, heads: 2, queries: 400, keys: []int{77, 400}, size: 12},
		} {
			p := s.problem(t, uint64(i))
			p.shape.Joint = i == 2
			p.kv[0].Mask = guarded(t, 2, s.keys[0], s.keys[0], 77)
			attention.Attend(kerneltest.Engine(t, set, 1), p.dst, p.q, p.kv, p.shape)
			again := func(what string, call func(dst tensor.Mat)) {
				dst := tensor.MakeMat(p.dst.Rows, p.dst.Cols)
				call(dst)
				for r := range dst.Rows {
					kerneltest.Same(t, fmt.Sprintf("%s: row %d", what, r), dst.Row(r), p.dst.Row(r))
				}
			}
			for _, workers := range []int{2, 7} {
				again(fmt.Sprint(workers, " workers"), func(dst tensor.Mat) {
					attention.Attend(kerneltest.Engine(t, set, workers), dst, p.q, p.kv, p.shape)
				})
			}
			again("image by image", func(dst tensor.Mat) {
				e := kerneltest.Engine(t, set, 2)
				for image := range 2 {
					part := func(m tensor.Mat) tensor.Mat { return m.Slice(image*m.Rows/2, (image+1)*m.Rows/2) }
					one := p.shape
					one.Batch = 1
					var kv []attention.KV
					for _, c := range p.kv {
						c.K, c.V = part(c.K), part(c.V)
						if c.Mask.Data != nil {
							c.Mask = part(c.Mask)
						}
						kv = append(kv, c)
					}
					attention.Attend(e, part(dst), part(p.q), kv, one)
				}
			})
			if set.ISA == kernels.Generic {
				continue
			}
			var bits []float32
			for r := range p.dst.Rows {
				bits = append(bits, p.dst.Row(r)...)
			}
			if first[i] == nil {
				first[i] = bits
			}
			kerneltest.Same(t, "across instruction sets", bits, first[i])
		}
	})
}

// A NaN among the keys makes the rows of its image and head NaN and no others; a block of keys that
// lies behind the causal diagonal is not seen.
func TestAttendNaN(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, causal := range []bool{false, true} {
			p := sizes{batch: 2, heads: 2, queries: 200, keys: []int{200}, size: 4, causal: causal}.problem(t, 5)
			p.kv[0].K.Row(200 + 150)[5] = float32(math.NaN()) // image 1, key 150, head 1
			attention.Attend(kerneltest.Engine(t, set, 2), p.dst, p.q, p.kv, p.shape)
			for r := range p.dst.Rows {
				for c, v := range p.dst.Row(r) {
					if causal && r > 200+96-64 && r < 200+150 && c >= 4 {
						continue // the key is taken out, but a query of the same tile may see its block, from 96 on
					}
					want := r >= 200 && c >= 4 && (!causal || r >= 200+150)
					if got := v != v; got != want {
						t.Fatalf("causal=%v, row %d, column %d: %g", causal, r, c, v)
					}
				}
			}
		}
	})
}

func TestAttendDoesNotAllocate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2} {
			e := kerneltest.Engine(t, set, workers)
			p := sizes{batch: 2, heads: 2, queries: 70, keys: []int{100, 5}, size: 8, causal: true}.problem(t, 5)
			p.kv[0].Mask = tensor.MakeMat(2*70, 100)
			kerneltest.NoAllocations(t, kerneltest.Name("workers", workers), func() { attention.Attend(e, p.dst, p.q, p.kv, p.shape) })
		}
	})
}

func TestAttendPanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	q, k := tensor.MakeMat(6, 8), tensor.MakeMat(10, 8)
	kv := []attention.KV{{K: k, V: k}}
	shape := attention.Shape{Batch: 2, Heads: 2}
	for _, c := range []struct {
		what   string
		dst, q tensor.Mat
		kv     []attention.KV
		shape  attention.Shape
	}{
		{"dst is 5×8, q is 6×8", tensor.MakeMat(5, 8), q, kv, shape},
		{"6 rows of queries for a batch of 4", q, q, kv, attention.Shape{Batch: 4, Heads: 2}},
		{"6 rows of queries for a batch of 0", q, q, kv, attention.Shape{Heads: 2}},
		{"8 columns for 3 heads", q, q, kv, attention.Shape{Batch: 2, Heads: 3}},
		{"8 columns for 0 heads", q, q, kv, attention.Shape{Batch: 2}},
		{"no keys", q, q, nil, shape},
		{"context 1 has keys 10×8 and values 8×8", q, q, append(kv, attention.KV{K: k, V: k.Slice(0, 8)}), shape},
		{"context 0 has keys 10×6", q, q, []attention.KV{{K: k.Columns(0, 6), V: k}}, shape},
		{"context 0 has 9 rows of keys", q, q, []attention.KV{{K: k.Slice(0, 9), V: k.Slice(0, 9)}}, shape},
		{"context 0 has 0 rows of keys", q, q, []attention.KV{{K: k.Slice(0, 0), V: k.Slice(0, 0)}}, shape},
		{"mask of context 0 is 2×4 for 5 keys", q, q, []attention.KV{{K: k, V: k, Mask: tensor.MakeMat(2, 4)}}, shape},
		{"mask of context 0 is 3×5", q, q, []attention.KV{{K: k, V: k, Mask: tensor.MakeMat(3, 5)}}, shape},
		{"several contexts as one, and causal", q, q, kv, attention.Shape{Batch: 2, Heads: 2, Joint: true, Causal: true}},
		{"context 0 has scale 2", q, q, []attention.KV{{K: k, V: k, Scale: 2}}, attention.Shape{Batch: 2, Heads: 2, Joint: true}},
		{"attention: V: matrix 10×8", q, q, []attention.KV{{K: k, V: tensor.Mat{Rows: 10, Cols: 8, Stride: 8}}}, shape},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.what) {
					t.Errorf("panic %q, want one with %q", got, c.what)
				}
			}()
			attention.Attend(e, c.dst, c.q, c.kv, c.shape)
		}()
	}
}

func FuzzAttend(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(2), uint16(33), uint16(77), uint8(40), uint8(0))
	f.Add(uint64(2), uint8(2), uint8(1), uint16(130), uint16(130), uint8(5), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, batch, heads uint8, queries, keys uint16, size, flags uint8) {
		s := sizes{
			batch: 1 + int(batch)%3, heads: 1 + int(heads)%3, queries: 1 + int(queries)%150, keys: []int{1 + int(keys)%250},
			size: 1 + int(size)%70, causal: flags&1 != 0, slack: int(flags >> 6),
		}
		if flags&2 != 0 {
			s.keys = append(s.keys, 1+int(keys)%7)
		}
		for _, set := range kernels.Available() {
			p := s.problem(t, seed)
			if rows := []int{0, s.batch, s.batch * s.queries, s.batch * s.heads * s.queries}[flags>>2&3]; rows > 0 {
				p.kv[0].Mask = guarded(t, rows, s.keys[0], s.keys[0]+s.slack, seed+50)
				r := rand.New(rand.NewPCG(seed, 1))
				for i := range p.kv[0].Mask.Data {
					p.kv[0].Mask.Data[i] *= []float32{1, 20, -1e4, float32(math.Inf(-1))}[r.IntN(4)]
					if math.IsInf(float64(p.kv[0].Mask.Data[i]), 1) {
						p.kv[0].Mask.Data[i] = 0
					}
				}
			}
			p.check(t, set)
		}
	})
}
