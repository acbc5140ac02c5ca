package main

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadPicture(t *testing.T) {
	dir := t.TempDir()
	p := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range p.Pix {
		p.Pix[i] = []uint8{200, 30, 20, 255}[i%4]
	}
	for name, encode := range map[string]func(*bytes.Buffer) error{
		"a.png": func(b *bytes.Buffer) error { content, err := encodePNG(p, nil); b.Write(content); return err },
		"a.jpg": func(b *bytes.Buffer) error { return jpeg.Encode(b, p, nil) },
		"a.gif": func(b *bytes.Buffer) error { return gif.Encode(b, p, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := readPicture(path)
		if err != nil {
			t.Fatal(err)
		}
		c := color.RGBAModel.Convert(got.At(3, 3)).(color.RGBA)
		if got.Bounds() != p.Bounds() || c.R < 150 || c.G > 80 || c.B > 80 {
			t.Errorf("%s: %v of color %v", name, got.Bounds(), c)
		}
		if err := os.WriteFile(path, b.Bytes()[:b.Len()/2], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readPicture(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("half of %s: %v", name, err)
		}
	}
}

// A small file that says it is a huge picture is refused before memory is taken for it.
func TestReadPictureHuge(t *testing.T) {
	content, err := encodePNG(image.NewRGBA(image.Rect(0, 0, 1, 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	header := append([]byte("IHDR"), content[16:29]...)
	binary.BigEndian.PutUint32(header[4:], 1<<30)
	content = append(appendChunk(content[:8:8], "IHDR", string(header[4:])), content[33:]...)
	path := filepath.Join(t.TempDir(), "huge.png")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readPicture(path); err == nil || !strings.Contains(err.Error(), "1073741824×1 pixels") {
		t.Error(err)
	}
}
