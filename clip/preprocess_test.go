package clip_test

import (
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/internal/kerneltest"
)

// drawn is the picture that testdata/preprocess.py draws.
func drawn(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(37*x + 11*y), uint8(x * y * 5), uint8(200 - 3*x + 7*y), 255})
		}
	}
	return img
}

// preprocessor reads a preprocessor_config.json.
func preprocessor(text string) (*clip.Preprocessor, error) {
	return clip.ReadPreprocessor(fstest.MapFS{"preprocessor_config.json": {Data: []byte(text)}})
}

// Pictures become, to the bit, what Pillow and numpy make of them.
func TestPixels(t *testing.T) {
	text, err := os.ReadFile("testdata/preprocess.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Width, Height int
		Config        json.RawMessage
		Shape         [3]int
		Pixels        []float32
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		p, err := preprocessor(string(c.Config))
		if err != nil {
			t.Errorf("%s: %v", c.Config, err)
			continue
		}
		got, err := p.Pixels(drawn(c.Width, c.Height), drawn(c.Width, c.Height))
		if err != nil {
			t.Errorf("%s: %v", c.Config, err)
			continue
		}
		if got.N != 2 || [3]int{got.H, got.W, got.C} != c.Shape {
			t.Errorf("%s: %s, want 2 of %v", c.Config, got.Shape(), c.Shape)
			continue
		}
		for i := range 2 {
			kerneltest.Same(t, string(c.Config), got.Images(i, i+1).Data, c.Pixels)
		}
	}
	own, err := clip.NewPreprocessor(4).Pixels(drawn(13, 9))
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.Same(t, "CLIP's own", own.Data, cases[0].Pixels)
}

func TestPreprocessorErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"image_processor_type": "SiglipImageProcessor"}`, "image_processor_type is SiglipImageProcessor, supported: CLIPImageProcessor"},
		{`{"feature_extractor_type": "ViTFeatureExtractor"}`, "feature_extractor_type is ViTFeatureExtractor"},
		{`{"size": {"longest_edge": 9}}`, "size is {Shortest:0 Height:0 Width:0}"},
		{`{"size": -1}`, "size is"},
		{`{"size": "big"}`, "preprocessor_config.json: json"},
		{`{"crop_size": {"height": 9, "width": 70000}}`, "crop_size is"},
		{`{"resample": 6}`, "resample is 6, supported: 0 to 5"},
		{`{"image_mean": [1, 2]}`, "image_mean is [1 2]"},
		{`{"image_std": [1, 2, 0]}`, "image_std is [1 2 0]"},
		{`{"size": 8193}`, "size is"},
		{`{"crop_size": {"height": 65536, "width": 1025}}`, "67108864 in all"},
		{`{"rescale_factor": 1e300}`, "rescale_factor is 1e+300"},
		{`{`, "unexpected end"},
	} {
		if _, err := preprocessor(c.text); err == nil || !strings.HasPrefix(err.Error(), "clip: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := clip.ReadPreprocessor(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	// What a file says of steps that it leaves out does not matter.
	if _, err := preprocessor(`{"do_resize": false, "size": null, "do_center_crop": false, "crop_size": 0, "do_normalize": false, "image_std": [0]}`); err != nil {
		t.Error(err)
	}
}

func TestPixelsErrors(t *testing.T) {
	p := clip.NewPreprocessor(8)
	whole, err := preprocessor(`{"do_resize": false, "do_center_crop": false}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		p        *clip.Preprocessor
		pictures []image.Image
		want     string
	}{
		{"none", p, nil, "no pictures"},
		{"empty", p, []image.Image{drawn(3, 3), drawn(0, 3)}, "picture 1: 0×3 pixels"},
		{"long", p, []image.Image{image.NewUniform(color.White)}, "picture 0: "},
		{"narrow", p, []image.Image{drawn(1, 9000)}, "1×9000 pixels become 8×72000"},
		{"sizes", whole, []image.Image{drawn(3, 4), drawn(4, 3)}, "picture 1 becomes 4×3, want 3×4"},
	} {
		if _, err := c.p.Pixels(c.pictures...); err == nil || !strings.HasPrefix(err.Error(), "clip: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
