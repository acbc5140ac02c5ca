package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// chunk is a chunk of a PNG file.
type chunk struct{ kind, data string }

// chunks takes a PNG file apart and checks the signature and every checksum.
func chunks(t *testing.T, file []byte) []chunk {
	t.Helper()
	rest, ok := bytes.CutPrefix(file, []byte("\x89PNG\r\n\x1a\n"))
	if !ok {
		t.Fatal("no PNG signature")
	}
	var all []chunk
	for len(rest) > 0 {
		if len(rest) < 12 {
			t.Fatalf("%d bytes after the last chunk", len(rest))
		}
		n := int(binary.BigEndian.Uint32(rest))
		if len(rest) < 12+n {
			t.Fatalf("a chunk of %d bytes in the last %d", n, len(rest))
		}
		if got, want := binary.BigEndian.Uint32(rest[8+n:]), crc32.ChecksumIEEE(rest[4:8+n]); got != want {
			t.Fatalf("chunk %s: checksum %#x, want %#x", rest[4:8], got, want)
		}
		all = append(all, chunk{string(rest[4:8]), string(rest[8 : 8+n])})
		rest = rest[12+n:]
	}
	return all
}

// notesOf returns the text chunks of a PNG file.
func notesOf(t *testing.T, file []byte) []note {
	t.Helper()
	var notes []note
	for _, c := range chunks(t, file) {
		n, err := c.note()
		if err != nil {
			t.Fatal(err)
		}
		if n.keyword != "" {
			notes = append(notes, n)
		}
	}
	return notes
}

// note decodes a text chunk; of other chunks it is the zero note.
func (c chunk) note() (note, error) {
	keyword, text, ok := bytes.Cut([]byte(c.data), []byte{0})
	switch {
	case c.kind != "tEXt" && c.kind != "iTXt":
		return note{}, nil
	case !ok || len(keyword) == 0 || len(keyword) > 79:
		return note{}, errors.New("no keyword of 1 to 79 bytes")
	case bytes.IndexByte(text, 0) >= 0 && c.kind == "tEXt":
		return note{}, errors.New("a zero byte in a tEXt chunk")
	case c.kind == "tEXt":
		runes := make([]rune, len(text))
		for i, b := range text {
			runes[i] = rune(b)
		}
		return note{string(keyword), string(runes)}, nil
	}
	text, ok = bytes.CutPrefix(text, []byte{0, 0, 0, 0})
	if !ok {
		return note{}, errors.New("an iTXt chunk that is compressed or translated")
	}
	return note{string(keyword), string(text)}, nil
}

func TestEncodePNG(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i := range img.Pix {
		img.Pix[i] = byte(40 * i)
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	notes := []note{
		{"Software", "Lanewise"},
		{"latin", "crème à 50 °\nsecond line"},
		{"greek", "καρδιά ❤"},
		{"control", "next\u0085line"},
		{"zero", "a\x00b"},
		{"broken", "a\xffb"},
		{"empty", ""},
	}
	file, err := encodePNG(img, notes)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ kind, keyword, text string }{
		{"tEXt", "Software", "Lanewise"},
		{"tEXt", "latin", "crème à 50 °\nsecond line"},
		{"iTXt", "greek", "καρδιά ❤"},
		{"iTXt", "control", "next\u0085line"},
		{"tEXt", "zero", "ab"},
		{"iTXt", "broken", "a\uFFFDb"},
		{"tEXt", "empty", ""},
	}
	all := chunks(t, file)
	if len(all) < len(want)+3 || all[0].kind != "IHDR" || all[len(all)-1].kind != "IEND" {
		t.Fatalf("chunks %q", all)
	}
	for i, w := range want {
		c := all[1+i]
		if n, err := c.note(); err != nil || c.kind != w.kind || n != (note{w.keyword, w.text}) {
			t.Errorf("chunk %d: %s %q, want %v (%v)", 1+i, c.kind, c.data, w, err)
		}
	}
	decoded, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 2 {
		for x := range 3 {
			if got, want := color.RGBAModel.Convert(decoded.At(x, y)), img.At(x, y); got != want {
				t.Errorf("pixel %d, %d: %v, want %v", x, y, got, want)
			}
		}
	}
}
