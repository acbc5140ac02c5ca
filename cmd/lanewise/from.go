package main

import (
	"fmt"
	"image"
	_ "image/gif" // formats of --from
	_ "image/jpeg"
	_ "image/png"
	"io"
	"os"

	_ "golang.org/x/image/webp"
)

// sourceMost is the most pixels of a picture that is read: it keeps a small file from taking all
// memory.
const sourceMost = 1 << 26

// readPicture reads a picture in one of the common formats.
func readPicture(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (formats: PNG, JPEG, GIF, WebP)", path, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > sourceMost/c.Height {
		return nil, fmt.Errorf("%s has %d×%d pixels; it must have at least 1 and at most %d", path, c.Width, c.Height, sourceMost)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	p, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}
