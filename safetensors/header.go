package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

const (
	headerStart = 8           // bytes before the header, which hold its length
	headerMax   = 100_000_000 // the largest header that the format's own library reads
)

// readHeader returns the JSON of a file of size bytes.
func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	if size < headerStart {
		return nil, fmt.Errorf("truncated: %d bytes, where the header's length alone takes %d", size, headerStart)
	}
	var prefix [headerStart]byte
	if err := readFull(r, prefix[:], 0); err != nil {
		return nil, fmt.Errorf("header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case n > headerMax:
		return nil, fmt.Errorf("header of %d bytes, the largest allowed is %d: not a safetensors file?", n, headerMax)
	case int64(n) > size-headerStart:
		return nil, fmt.Errorf("truncated: header of %d bytes in a file of %d", n, size)
	}
	header := make([]byte, n)
	if err := readFull(r, header, headerStart); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return header, nil
}

// readFull fills p from at on.
func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseHeader reads the table of tensors and checks it against the bytes that follow the header.
func parseHeader(header []byte, dataSize int64) (tensors map[string]entry, metadata map[string]string, err error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("header is not UTF-8")
	}
	tensors = make(map[string]entry)
	err = eachMember(header, func(key string, value []byte) error {
		if key == "__metadata__" {
			if metadata, err = parseMetadata(value); err != nil {
				return fmt.Errorf("__metadata__: %w", err)
			}
			return nil
		}
		e, err := parseEntry(key, value, dataSize)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		tensors[key] = e
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	return tensors, metadata, checkLayout(tensors, dataSize)
}

// parseMetadata reads a map of strings.
func parseMetadata(value []byte) (map[string]string, error) {
	metadata := make(map[string]string)
	return metadata, eachMember(value, func(key string, value []byte) error {
		var text *string
		if err := json.Unmarshal(value, &text); err != nil || text == nil {
			return fmt.Errorf("%q is %s, want a string", key, excerpt(value))
		}
		metadata[key] = *text
		return nil
	})
}

// parseEntry reads a tensor's description and checks it by itself and against the bytes there are.
func parseEntry(name string, value []byte, dataSize int64) (entry, error) {
	e := entry{Info: Info{Name: name}}
	var offsets []int64
	var dtype, shape bool
	err := eachMember(value, func(key string, value []byte) (err error) {
		switch key {
		case "dtype":
			dtype = true
			if err := json.Unmarshal(value, &e.DType); err != nil || dtypeBits[e.DType] == 0 {
				return fmt.Errorf("unknown dtype %s", excerpt(value))
			}
		case "shape":
			shape = true
			e.Shape, err = parseShape(value)
		case "data_offsets":
			offsets, err = parseInts(value)
			if err != nil || len(offsets) != 2 {
				return fmt.Errorf("data_offsets %s, want two integers", excerpt(value))
			}
		}
		return err
	})
	if err != nil {
		return e, err
	}
	switch {
	case !dtype:
		return e, errors.New("dtype is missing")
	case !shape:
		return e, errors.New("shape is missing")
	case offsets == nil:
		return e, errors.New("data_offsets are missing")
	}
	e.begin, e.end = offsets[0], offsets[1]
	if e.begin < 0 || e.end < e.begin {
		return e, fmt.Errorf("data_offsets [%d %d] are not a range", e.begin, e.end)
	}
	if e.end > dataSize {
		return e, fmt.Errorf("data_offsets [%d %d] reach past the end: the file holds %d bytes of tensors", e.begin, e.end, dataSize)
	}
	size, err := byteSize(e.DType, e.Shape)
	if err != nil {
		return e, err
	}
	if size != e.end-e.begin {
		return e, fmt.Errorf("%s of shape %v takes %d bytes, data_offsets [%d %d] hold %d", e.DType, e.Shape, size, e.begin, e.end, e.end-e.begin)
	}
	return e, nil
}

// parseShape reads a list of sizes.
func parseShape(value []byte) ([]int, error) {
	dims, err := parseInts(value)
	if err != nil {
		return nil, fmt.Errorf("shape %s, want a list of integers", excerpt(value))
	}
	shape := make([]int, len(dims))
	for i, d := range dims {
		if d < 0 {
			return nil, fmt.Errorf("shape %v has a negative size", dims)
		}
		if d > math.MaxInt {
			return nil, fmt.Errorf("shape %v overflows", dims)
		}
		shape[i] = int(d)
	}
	return shape, nil
}

// parseInts reads a list of integers, where null is none.
func parseInts(value []byte) ([]int64, error) {
	var list []*int64
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, err
	}
	if list == nil {
		return nil, errors.New("null")
	}
	ints := make([]int64, len(list))
	for i, p := range list {
		if p == nil {
			return nil, errors.New("null")
		}
		ints[i] = *p
	}
	return ints, nil
}

// byteSize returns how many bytes a tensor takes.
func byteSize(t DType, shape []int) (int64, error) {
	n, zero := int64(1), slices.Contains(shape, 0)
	for _, d := range shape {
		if d != 0 && n > math.MaxInt64/64/int64(d) {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		n *= max(int64(d), 1)
	}
	if zero {
		return 0, nil
	}
	bits := n * dtypeBits[t]
	if bits%8 != 0 {
		return 0, fmt.Errorf("%s of shape %v does not end at a byte", t, shape)
	}
	return bits / 8, nil
}

// checkLayout makes sure that the tensors fill the data without overlaps and holes.
func checkLayout(tensors map[string]entry, dataSize int64) error {
	sorted := make([]entry, 0, len(tensors))
	for _, e := range tensors {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.Name, b.Name))
	})
	var end int64
	last := "the header"
	for _, e := range sorted {
		switch {
		case e.begin < end:
			return fmt.Errorf("tensor %q at [%d %d] overlaps %s, which ends at %d", e.Name, e.begin, e.end, last, end)
		case e.begin > end:
			return fmt.Errorf("tensor %q at [%d %d] leaves a hole after %s, which ends at %d", e.Name, e.begin, e.end, last, end)
		}
		end, last = e.end, fmt.Sprintf("tensor %q", e.Name)
	}
	if end != dataSize {
		return fmt.Errorf("%d bytes after %s belong to no tensor", dataSize-end, last)
	}
	return nil
}

// eachMember calls f for the members of a JSON object, in order. Anything else than one object, and
// a key that comes twice (of which encoding/json would quietly keep the last), is an error.
func eachMember(object []byte, f func(key string, value []byte) error) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%s is not a JSON object", excerpt(object))
	}
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		key := t.(string) // inside an object, the decoder returns nothing else here
		if seen[key] {
			return fmt.Errorf("%q comes twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return notJSON(err)
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return notJSON(err)
	}
	if rest := bytes.TrimSpace(object[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("%s follows the JSON object", excerpt(rest))
	}
	return nil
}

// notJSON says that the text of an object ended or went wrong.
func notJSON(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("not JSON: %w", err)
}

// excerpt returns the beginning of a piece of JSON, for error messages.
func excerpt(value []byte) string {
	const most = 60
	if value = bytes.TrimSpace(value); len(value) > most {
		return fmt.Sprintf("%q…", value[:most])
	}
	return fmt.Sprintf("%q", value)
}
