// Package safetensors reads files in the safetensors format: eight bytes that give the length of a
// JSON header (little-endian), the header, which names every tensor with its type, shape and
// place, and the tensors' bytes, row-major and little-endian, one after the other without holes.
//
// Opening a file reads and checks the header alone: a tensor's place is checked against its shape
// and the file's size before anything is allocated for it. Tensors are converted one at a time into
// memory of the caller, so a checkpoint is never in memory twice. Files on a unix system are mapped;
// elsewhere, and from other sources, they are read through io.ReaderAt.
//
// Every error names the file, and the tensor where there is one.
package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
)

// Info says what a tensor is.
type Info struct {
	Name  string
	DType DType
	Shape []int  // not to be changed
	File  string // the file that holds it, as errors name it
}

// Elements returns the number of elements, the product of the shape: 1 for a scalar.
func (i Info) Elements() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// File is an open safetensors file. Its methods may be called from several goroutines at once.
type File struct {
	name     string
	tensors  map[string]entry
	names    []string
	metadata map[string]string

	open   sync.RWMutex // held by readers; Close waits for them
	data   []byte       // the tensors' bytes where the file is in memory or mapped
	source io.ReaderAt  // the tensors' bytes where it is not
	close  func() error // nil once closed
}

// entry is a tensor and where its bytes are, counted from the end of the header.
type entry struct {
	Info
	begin, end int64
}

// Open opens the named file of fsys. Files of the operating system (os.DirFS, os.Root) are mapped
// where that can be done; others are read through io.ReaderAt where they have it (embed.FS), and
// otherwise into memory as a whole.
func Open(fsys fs.FS, name string) (*File, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return openFile(f, name)
}

// OpenFile opens a file of the operating system and maps it where that can be done. While it is
// open it should not change; reading a mapped file that was cut short is an error, not a fault.
func OpenFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return openFile(f, path)
}

// NewFile reads the header of a file of size bytes. name is what errors call it. Close does not
// close r.
func NewFile(name string, r io.ReaderAt, size int64) (*File, error) {
	return newFile(name, r, nil, size, func() error { return nil })
}

// openFile takes f over: it is closed by File.Close, or here where it is no longer needed.
func openFile(f fs.File, name string) (*File, error) {
	file, err := func() (*File, error) {
		stat, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("safetensors: %w", err)
		}
		if stat.IsDir() {
			return nil, fmt.Errorf("safetensors: %s: a directory", name)
		}
		if osFile, ok := f.(*os.File); ok {
			if data, unmap, err := mapFile(osFile, stat.Size()); err == nil {
				file, err := newFile(name, nil, data, stat.Size(), unmap)
				if err != nil {
					return nil, errors.Join(err, unmap())
				}
				return file, f.Close()
			}
		}
		if r, ok := f.(io.ReaderAt); ok {
			return newFile(name, r, nil, stat.Size(), f.Close)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("safetensors: %s: %w", name, err)
		}
		return newFile(name, nil, data, int64(len(data)), f.Close)
	}()
	if err != nil {
		f.Close()
		return nil, err
	}
	return file, nil
}

// newFile reads the header of size bytes, which are data or, where that is nil, r's.
func newFile(name string, r io.ReaderAt, data []byte, size int64, close func() error) (*File, error) {
	f := &File{name: name, close: close}
	whole := r
	if data != nil {
		whole = mapped{data}
	}
	header, err := readHeader(whole, size)
	if err == nil {
		f.tensors, f.metadata, err = parseHeader(header, size-headerStart-int64(len(header)))
	}
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	start := headerStart + int64(len(header))
	if data != nil {
		f.data = data[start:]
	} else {
		f.source = io.NewSectionReader(r, start, size-start)
	}
	for key, e := range f.tensors {
		e.File = name
		f.tensors[key] = e
		f.names = append(f.names, key)
	}
	slices.Sort(f.names)
	return f, nil
}

// Name returns the file's name as errors give it.
func (f *File) Name() string { return f.name }

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Metadata returns the header's __metadata__: text that has no part in the tensors.
func (f *File) Metadata() map[string]string { return f.metadata }

// Tensor says what the named tensor is, and whether there is one.
func (f *File) Tensor(name string) (Info, bool) {
	e, ok := f.tensors[name]
	return e.Info, ok
}

// Float32 fills dst with a tensor of type F32, F16 or BF16; every value of these is a float32.
// len(dst) must be the number of its elements.
func (f *File) Float32(name string, dst []float32) error {
	return f.read(name, len(dst), "F32, F16 or BF16", func(t DType) (func(int, []byte), bool) {
		decode, ok := floatDecoders[t]
		return func(first int, b []byte) { decode(dst[first:], b) }, ok
	})
}

// Float64 fills dst with a tensor of type F64. len(dst) must be the number of its elements.
func (f *File) Float64(name string, dst []float64) error {
	return f.read(name, len(dst), "F64", func(t DType) (func(int, []byte), bool) {
		return func(first int, b []byte) { decodeFloat64(dst[first:], b) }, t == F64
	})
}

// Int64 fills dst with a tensor of booleans (0 or 1) or integers. len(dst) must be the number of
// its elements. A U64 above the largest int64 is an error.
func (f *File) Int64(name string, dst []int64) error {
	tooLarge := false
	err := f.read(name, len(dst), "an integer or BOOL", func(t DType) (func(int, []byte), bool) {
		decode, ok := intDecoders[t]
		return func(first int, b []byte) {
			d := dst[first:][:len(b)*8/int(dtypeBits[t])]
			decode(d, b)
			tooLarge = tooLarge || t == U64 && slices.Min(d) < 0
		}, ok
	})
	if err == nil && tooLarge {
		return fmt.Errorf("safetensors: %s: tensor %q holds values above %d", f.name, name, int64(math.MaxInt64))
	}
	return err
}

// read hands the bytes of a tensor of n elements to the decoder for its type, in pieces of whole
// elements: decode(first, b) gets those from element first on.
func (f *File) read(name string, n int, accepted string, decoder func(DType) (decode func(first int, b []byte), ok bool)) error {
	e, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("safetensors: %s: no tensor %q", f.name, name)
	}
	decode, ok := decoder(e.DType)
	if !ok {
		return fmt.Errorf("safetensors: %s: tensor %q is of type %s, want %s", f.name, name, e.DType, accepted)
	}
	if have := e.Elements(); have != n {
		return fmt.Errorf("safetensors: %s: tensor %q has %d elements (shape %v), want %d", f.name, name, have, e.Shape, n)
	}
	f.open.RLock()
	defer f.open.RUnlock()
	err := os.ErrClosed
	switch {
	case f.close == nil:
	case f.data != nil:
		err = guardFault(func() { decode(0, f.data[e.begin:e.end]) })
	default:
		err = pieces(f.source, e, decode)
	}
	if err != nil {
		return fmt.Errorf("safetensors: %s: tensor %q: %w", f.name, name, err)
	}
	return nil
}

// pieceSize is how much is read at once: whole elements of any type, and little beside a tensor.
const pieceSize = 1 << 18

// pieces reads a tensor piece by piece.
func pieces(source io.ReaderAt, e entry, decode func(first int, b []byte)) error {
	size := dtypeBits[e.DType] / 8
	buf := make([]byte, min(pieceSize, e.end-e.begin))
	for at := e.begin; at < e.end; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), e.end-at)]
		if err := readFull(source, buf, at); err != nil {
			return err
		}
		decode(int((at-e.begin)/size), buf)
	}
	return nil
}

// Close gives the file's memory and descriptor back. It waits for reads that are under way; later
// ones fail. Closing again does nothing.
func (f *File) Close() error {
	f.open.Lock()
	defer f.open.Unlock()
	if f.close == nil {
		return nil
	}
	err := f.close()
	f.data, f.source, f.close = nil, nil, nil
	return err
}

// mapped is a mapped file's bytes as a reader.
type mapped struct{ data []byte }

func (m mapped) ReadAt(p []byte, at int64) (n int, err error) {
	fault := guardFault(func() { n, err = bytes.NewReader(m.data).ReadAt(p, at) })
	return n, errors.Join(fault, err)
}
