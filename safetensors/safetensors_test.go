package safetensors_test

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/safetensors"
)

// embedded has a file that the format's own Python library wrote.
//
//go:embed testdata
var embedded embed.FS

func open(t testing.TB, b []byte) *safetensors.File {
	t.Helper()
	f, err := safetensors.NewFile("m.safetensors", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var sample = build(
	tensor{"b.weight", "F32", []int{2, 3}, little([]float32{1, -2, 3.5, 0, 1e-45, -1e38})},
	tensor{"a", "F16", []int{2}, []byte{0x00, 0x3c, 0x00, 0xc0}},
	tensor{"scalar", "BF16", []int{}, []byte{0x80, 0x3f}},
	tensor{"empty", "F32", []int{4, 0}, nil},
	tensor{"ids", "I64", []int{3}, little([]int64{7, -1, 1 << 40})},
	tensor{"wide", "F64", []int{1}, little([]float64{1})},
)

// Every way of opening gives the same tensors.
func TestSources(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	if err := os.WriteFile(path, sample, 0o600); err != nil {
		t.Fatal(err)
	}
	inMemory := fstest.MapFS{"m.safetensors": {Data: sample}}
	for name, opened := range map[string]func() (*safetensors.File, error){
		"NewFile": func() (*safetensors.File, error) {
			return safetensors.NewFile("m.safetensors", bytes.NewReader(sample), int64(len(sample)))
		},
		"OpenFile":    func() (*safetensors.File, error) { return safetensors.OpenFile(path) },
		"os.DirFS":    func() (*safetensors.File, error) { return safetensors.Open(os.DirFS(dir), "m.safetensors") },
		"ReaderAt":    func() (*safetensors.File, error) { return safetensors.Open(inMemory, "m.safetensors") },
		"Reader only": func() (*safetensors.File, error) { return safetensors.Open(readOnly{inMemory}, "m.safetensors") },
	} {
		t.Run(name, func(t *testing.T) {
			f, err := opened()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got, want := f.Names(), []string{"a", "b.weight", "empty", "ids", "scalar", "wide"}; !slices.Equal(got, want) {
				t.Errorf("Names: %q, want %q", got, want)
			}
			info, ok := f.Tensor("b.weight")
			if !ok || info.Name != "b.weight" || info.DType != safetensors.F32 || !slices.Equal(info.Shape, []int{2, 3}) ||
				info.Elements() != 6 || !strings.HasSuffix(info.File, "m.safetensors") {
				t.Errorf("Tensor: %+v, %v", info, ok)
			}
			if _, ok := f.Tensor("c"); ok {
				t.Error("there is no c")
			}
			for name, want := range map[string][]float32{
				"b.weight": {1, -2, 3.5, 0, 1e-45, -1e38}, "a": {1, -2}, "scalar": {1}, "empty": {},
			} {
				got := make([]float32, len(want))
				if err := f.Float32(name, got); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %v, %v, want %v", name, got, err, want)
				}
			}
			ids := make([]int64, 3)
			if err := f.Int64("ids", ids); err != nil || !slices.Equal(ids, []int64{7, -1, 1 << 40}) {
				t.Errorf("ids: %v, %v", ids, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if err := f.Float32("a", make([]float32, 2)); !errors.Is(err, os.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
			if err := f.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
		})
	}
}

// readOnly takes ReadAt away from the files of a file system.
type readOnly struct{ fs.FS }

func (r readOnly) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	return struct{ fs.File }{f}, err
}

// A file of the format's own library, through go:embed.
func TestReferenceFile(t *testing.T) {
	f, err := safetensors.Open(embedded, "testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	labels, times := make([]int64, 2), make([]float32, 2)
	if err := errors.Join(f.Int64("in.class_labels", labels), f.Float32("in.timestep", times)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(labels, []int64{4, 5}) || !slices.Equal(times, []float32{1, 400.5}) {
		t.Errorf("labels %v, times %v", labels, times)
	}
	if info, ok := f.Tensor("out.y"); !ok || info.DType != safetensors.F32 || !slices.Equal(info.Shape, []int{2, 40}) {
		t.Errorf("out.y: %+v, %v", info, ok)
	}
}

func TestMetadata(t *testing.T) {
	f := open(t, raw(`{"__metadata__":{"format":"pt"},`+one+`} `, "1234"))
	if got := f.Metadata(); len(got) != 1 || got["format"] != "pt" {
		t.Errorf("%q", got)
	}
	if got := f.Names(); !slices.Equal(got, []string{"x"}) {
		t.Errorf("%q", got)
	}
}

// All 65536 halves against the definition of the format.
func TestHalf(t *testing.T) {
	bits := make([]uint16, 1<<16)
	for i := range bits {
		bits[i] = uint16(i)
	}
	f := open(t, build(
		tensor{"f16", "F16", []int{1 << 16}, little(bits)},
		tensor{"bf16", "BF16", []int{256, 256}, little(bits)},
	))
	half, brain := make([]float32, 1<<16), make([]float32, 1<<16)
	if err := errors.Join(f.Float32("f16", half), f.Float32("bf16", brain)); err != nil {
		t.Fatal(err)
	}
	for i := range bits {
		sign, exp, frac := 1-2*float64(i>>15), i>>10&31, float64(i&1023)
		want := sign * math.Ldexp(1024+frac, exp-25)
		switch {
		case exp == 0:
			want = sign * math.Ldexp(frac, -24)
		case exp == 31 && frac == 0:
			want = math.Inf(int(sign))
		case exp == 31:
			want = math.NaN()
		}
		got := float64(half[i])
		if !(got == want || math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != (i>>15 == 1) {
			t.Errorf("half %#04x: %g, want %g", i, got, want)
		}
		if got := math.Float32bits(brain[i]); got != uint32(i)<<16 {
			t.Errorf("bfloat16 %#04x: %#08x", i, got)
		}
	}
}

func TestIntegers(t *testing.T) {
	for _, test := range []struct {
		dtype string
		data  any
		want  []int64
	}{
		{"BOOL", []uint8{0, 1, 2}, []int64{0, 1, 1}},
		{"U8", []uint8{0, 255}, []int64{0, 255}},
		{"I8", []int8{-128, 127}, []int64{-128, 127}},
		{"U16", []uint16{65535}, []int64{65535}},
		{"I16", []int16{-32768, 5}, []int64{-32768, 5}},
		{"U32", []uint32{math.MaxUint32}, []int64{math.MaxUint32}},
		{"I32", []int32{math.MinInt32}, []int64{math.MinInt32}},
		{"U64", []uint64{math.MaxInt64}, []int64{math.MaxInt64}},
		{"I64", []int64{math.MinInt64, 1}, []int64{math.MinInt64, 1}},
	} {
		f := open(t, build(tensor{"x", test.dtype, []int{len(test.want)}, little(test.data)}))
		got := make([]int64, len(test.want))
		if err := f.Int64("x", got); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v, want %v", test.dtype, got, err, test.want)
		}
	}
}

// Tensors above the size of one piece, read by several goroutines through a ReaderAt and mapped.
func TestConcurrentReads(t *testing.T) {
	const n = 300_001
	var tensors []tensor
	for i := range 4 {
		values := make([]float32, n)
		for j := range values {
			values[j] = float32(i*n + j)
		}
		tensors = append(tensors, tensor{fmt.Sprint(i), "F32", []int{n}, little(values)})
	}
	b := build(tensors...)
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	onDisk, err := safetensors.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	var all sync.WaitGroup
	for _, f := range []*safetensors.File{open(t, b), onDisk} {
		for i := range 4 {
			all.Go(func() {
				got := make([]float32, n)
				if err := f.Float32(fmt.Sprint(i), got); err != nil {
					t.Error(err)
				}
				for j, v := range got {
					if v != float32(i*n+j) {
						t.Errorf("tensor %d, value %d: %g", i, j, v)
						return
					}
				}
			})
		}
	}
	all.Wait()
}

// wrong is a file that cannot be opened, and what the error says besides the file's name.
type wrong struct {
	name string
	data []byte
	want []string
}

const one = `"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`

var wrongFiles = []wrong{
	{"empty", nil, []string{"truncated", "0 bytes"}},
	{"no header", make([]byte, 7), []string{"truncated", "7 bytes"}},
	{"header past the end", raw(`{`+one+`}`, "")[:20], []string{"truncated", "header of 54 bytes in a file of 20"}},
	{"header too large", []byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"), []string{"header of 9223372036854775807 bytes", "100000000"}},
	{"header length above int64", []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"), []string{"header of 18446744073709551615 bytes"}},
	{"empty header", raw("", ""), []string{"not a JSON object"}},
	{"not an object", raw(`[1]`, ""), []string{"not a JSON object"}},
	{"not JSON", raw(`{"x":`, ""), []string{"not JSON"}},
	{"not JSON inside", raw(`{"x" 1}`, ""), []string{"not JSON"}},
	{"not closed", raw(`{`+one, "1234"), []string{"not JSON", "EOF"}},
	{"not UTF-8", raw("{\"\xff\":1}", ""), []string{"not UTF-8"}},
	{"more after the header", raw(`{`+one+`} {}`, "1234"), []string{"follows the JSON object"}},
	{"entry is no object", raw(`{"x":3}`, ""), []string{`tensor "x"`, "not a JSON object"}},
	{"no dtype", raw(`{"x":{"shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "dtype is missing"}},
	{"no shape", raw(`{"x":{"dtype":"F32","data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "shape is missing"}},
	{"no offsets", raw(`{"x":{"dtype":"F32","shape":[1]}}`, "1234"), []string{`tensor "x"`, "data_offsets are missing"}},
	{"keys in another case", raw(`{"x":{"DType":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "dtype is missing"}},
	{"unknown dtype", raw(`{"x":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "unknown dtype", "F31"}},
	{"dtype of another type", raw(`{"x":{"dtype":32,"shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "unknown dtype", "32"}},
	{"null dtype", raw(`{"x":{"dtype":null,"shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "unknown dtype", "null"}},
	{"shape of another type", raw(`{"x":{"dtype":"F32","shape":"1","data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "shape"}},
	{"null shape", raw(`{"x":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "shape"}},
	{"null in shape", raw(`{"x":{"dtype":"F32","shape":[null],"data_offsets":[0,0]}}`, ""), []string{`tensor "x"`, "shape"}},
	{"fraction in shape", raw(`{"x":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "shape"}},
	{"negative size", raw(`{"x":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "negative", "[-1 -1]"}},
	{"shape overflows", raw(`{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "overflows"}},
	{"shape overflows to the right size", raw(`{"x":{"dtype":"F32","shape":[2147483648,2147483648,4,1],"data_offsets":[0,0]}}`, ""), []string{`tensor "x"`, "overflows"}},
	{"bytes overflow", raw(`{"x":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, ""), []string{`tensor "x"`, "overflows"}},
	{"a size above int64", raw(`{"x":{"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "shape"}},
	{"shape and bytes differ", raw(`{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, "takes 8 bytes", "hold 4"}},
	{"half a byte", raw(`{"x":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, "1"), []string{`tensor "x"`, "does not end at a byte"}},
	{"three offsets", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, "1234"), []string{`tensor "x"`, "data_offsets"}},
	{"offsets backwards", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "1234"), []string{`tensor "x"`, "not a range"}},
	{"negative offset", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, "1234"), []string{`tensor "x"`, "not a range"}},
	{"truncated tensor", raw(`{`+one+`}`, "123"), []string{`tensor "x"`, "past the end", "3 bytes"}},
	{"offsets out of range", raw(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[9000000000000000000,9000000000000000004]}}`, "1234"), []string{`tensor "x"`, "past the end"}},
	{"overlap", raw(`{`+one+`,"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, "123456"), []string{`tensor "y"`, "overlaps", `tensor "x"`}},
	{"same place", raw(`{`+one+`,"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "y"`, "overlaps", `tensor "x"`}},
	{"hole", raw(`{`+one+`,"y":{"dtype":"F32","shape":[1],"data_offsets":[5,9]}}`, "123456789"), []string{`tensor "y"`, "hole", `tensor "x"`}},
	{"hole at the start", raw(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12"), []string{`tensor "x"`, "hole"}},
	{"bytes left over", raw(`{`+one+`}`, "12345"), []string{"1 bytes after", `tensor "x"`}},
	{"duplicate tensor", raw(`{`+one+`,`+one+`}`, "1234"), []string{`"x" comes twice`}},
	{"duplicate by escape", raw(`{`+one+`,"\u0078":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`"x" comes twice`}},
	{"duplicate field", raw(`{"x":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"), []string{`tensor "x"`, `"dtype" comes twice`}},
	{"metadata not strings", raw(`{"__metadata__":{"a":1}}`, ""), []string{"__metadata__", `"a"`, "want a string"}},
	{"duplicate metadata", raw(`{"__metadata__":{"a":"1","a":"2"}}`, ""), []string{"__metadata__", `"a" comes twice`}},
}

func TestWrongFiles(t *testing.T) {
	dir := t.TempDir()
	for _, test := range wrongFiles {
		t.Run(test.name, func(t *testing.T) {
			_, err := safetensors.NewFile("m.safetensors", bytes.NewReader(test.data), int64(len(test.data)))
			says(t, err, append(test.want, "safetensors: m.safetensors: ")...)

			path := filepath.Join(dir, "w.safetensors")
			if err := os.WriteFile(path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = safetensors.OpenFile(path)
			says(t, err, append(test.want, path)...)
		})
	}
}

// says fails the test unless err has all the texts.
func says(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestWrongReads(t *testing.T) {
	f := open(t, sample)
	says(t, f.Float32("c", nil), "m.safetensors", `no tensor "c"`)
	says(t, f.Int64("c", nil), "m.safetensors", `no tensor "c"`)
	says(t, f.Float32("ids", make([]float32, 3)), "m.safetensors", `tensor "ids"`, "I64", "F32, F16 or BF16")
	says(t, f.Float32("wide", make([]float32, 1)), "m.safetensors", `tensor "wide"`, "F64")
	says(t, f.Float64("a", make([]float64, 2)), "m.safetensors", `tensor "a"`, "F16", "F64")
	says(t, f.Int64("a", make([]int64, 2)), "m.safetensors", `tensor "a"`, "F16", "integer")
	says(t, f.Float32("b.weight", make([]float32, 5)), "m.safetensors", `tensor "b.weight"`, "6 elements (shape [2 3]), want 5")

	big := open(t, build(tensor{"u", "U64", []int{2}, little([]uint64{0, 1 << 63})}))
	says(t, big.Int64("u", make([]int64, 2)), "m.safetensors", `tensor "u"`, "above 9223372036854775807")
}

func TestWrongSources(t *testing.T) {
	dir := t.TempDir()
	_, err := safetensors.OpenFile(filepath.Join(dir, "none.safetensors"))
	says(t, err, "none.safetensors")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	_, err = safetensors.OpenFile(dir)
	says(t, err, dir, "a directory")

	broken := errors.New("broken disk")
	_, err = safetensors.NewFile("m.safetensors", failing{broken, 0}, 1000)
	says(t, err, "m.safetensors", "header length", "broken disk")
	// A source that is shorter than it was said to be.
	_, err = safetensors.NewFile("m.safetensors", bytes.NewReader(sample[:30]), int64(len(sample)))
	says(t, err, "m.safetensors", "header", "EOF")
	f, err := safetensors.NewFile("m.safetensors", bytes.NewReader(sample[:len(sample)-9]), int64(len(sample)))
	if err != nil {
		t.Fatal(err)
	}
	says(t, f.Int64("ids", make([]int64, 3)), "m.safetensors", `tensor "ids"`, "EOF")
}

// failing is a source that fails from a place on.
type failing struct {
	err  error
	from int64
}

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.from {
		return 0, f.err
	}
	return copy(p, sample[at:]), nil
}

// A file that is cut short while it is mapped gives an error, not a fault that ends the process.
func TestMappedFileCutShort(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not cut a file that is open")
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	const n = 1 << 18
	if err := os.WriteFile(path, build(tensor{"x", "F32", []int{n}, make([]byte, 4*n)}), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	says(t, f.Float32("x", make([]float32, n)), path, `tensor "x"`)
}

// What is allocated follows the bytes there are, not those that a header claims.
func TestNoAllocationByClaim(t *testing.T) {
	claim := raw(`{"x":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}`, "1234")
	header := append([]byte{0, 0xe1, 0xf5, 0x05, 0, 0, 0, 0}, "{}"...) // 100,000,000
	for _, b := range [][]byte{claim, header} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := safetensors.NewFile("m.safetensors", bytes.NewReader(b), int64(len(b)))
		runtime.ReadMemStats(&after)
		if err == nil || after.TotalAlloc-before.TotalAlloc > 1<<20 {
			t.Errorf("%d bytes allocated, error %v", after.TotalAlloc-before.TotalAlloc, err)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, w := range wrongFiles {
		f.Add(w.data)
	}
	f.Add(sample)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := safetensors.NewFile("m.safetensors", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "safetensors: m.safetensors: ") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		for _, name := range file.Names() {
			info, ok := file.Tensor(name)
			if n := info.Elements(); !ok || n < 0 || n > 2*len(b) {
				t.Fatalf("%q: %+v in a file of %d bytes", name, info, len(b))
			}
			floats := file.Float32(name, make([]float32, info.Elements()))
			ints := file.Int64(name, make([]int64, info.Elements()))
			switch info.DType {
			case safetensors.F32, safetensors.F16, safetensors.BF16:
				if floats != nil || ints == nil {
					t.Errorf("%+v: as floats: %v, as integers: %v", info, floats, ints)
				}
			default:
				if floats == nil {
					t.Errorf("%+v was read as floats", info)
				}
			}
		}
	})
}

func BenchmarkFloat32(b *testing.B) {
	const n = 1 << 20
	for _, dtype := range []string{"F32", "F16", "BF16"} {
		size := n * map[string]int{"F32": 4, "F16": 2, "BF16": 2}[dtype]
		file := build(tensor{"x", dtype, []int{n}, make([]byte, size)})
		b.Run("dtype="+strings.ToLower(dtype), func(b *testing.B) {
			f, err := safetensors.NewFile("m.safetensors", bytes.NewReader(file), int64(len(file)))
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]float32, n)
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := f.Float32("x", dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
