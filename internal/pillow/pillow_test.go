package pillow_test

import (
	"bytes"
	"fmt"
	"image"
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/lanewise/lanewise/internal/pillow"
)

// open reads a picture that testdata/make.py wrote.
func open(t *testing.T, name string) *pillow.Picture {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return pillow.Of(img)
}

func TestResize(t *testing.T) {
	source := open(t, "source")
	filters := []string{"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"}
	if len(filters) != pillow.Filters {
		t.Fatal("not all filters")
	}
	for f, name := range filters {
		for _, size := range [][2]int{{12, 31}, {64, 9}, {5, 7}, {37, 40}, {37, 23}} {
			w, h := size[0], size[1]
			want := open(t, fmt.Sprintf("%s_%dx%d", name, w, h))
			got := source.Resize(w, h, pillow.Filter(f))
			if got.W != w || got.H != h || !bytes.Equal(got.Pix, want.Pix) {
				t.Errorf("%s to %d×%d differs from Pillow's at byte %d of %d", name, w, h, firstOff(got.Pix, want.Pix), len(want.Pix))
			}
		}
	}
}

// firstOff is where two slices start to differ.
func firstOff(a, b []uint8) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// The colors under alpha stay as they are, even where nothing shows of them; gray is all three.
func TestOf(t *testing.T) {
	if source, under := open(t, "source"), open(t, "translucent"); !bytes.Equal(source.Pix, under.Pix) {
		t.Error("alpha changes colors")
	}
	gray := open(t, "gray")
	for i, v := range gray.Pix {
		if v != gray.Pix[i/3*3] {
			t.Fatalf("byte %d of a gray picture is %d beside %d", i, v, gray.Pix[i/3*3])
		}
	}
	img := image.NewNRGBA(image.Rect(-3, 5, 4, 9))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	cut := pillow.Of(img.SubImage(image.Rect(-1, 6, 2, 8)))
	if want := img.NRGBAAt(1, 7); cut.W != 3 || cut.H != 2 || !bytes.Equal(cut.Pix[15:], []uint8{want.R, want.G, want.B}) {
		t.Errorf("%d×%d pixels cut out, the last %v, want 3×2 and %v", cut.W, cut.H, cut.Pix[15:], want)
	}
}
