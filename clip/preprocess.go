package clip

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"slices"

	"github.com/lanewise/lanewise/internal/pillow"
	"github.com/lanewise/lanewise/tensor"
)

// Preprocessor turns pictures into what an image encoder takes, in the steps of transformers'
// CLIPImageProcessor: it resizes a picture, cuts out the middle, and normalises its values.
//
//	pixel[c] = (value·scale − mean[c]) / std[c]    for value from 0 to 255
type Preprocessor struct {
	resize    bool
	shortest  int // side of the resized picture; 0: it has the width and height
	w, h      int
	filter    pillow.Filter
	crop      bool
	cropW     int
	cropH     int
	scale     float64
	mean, std [3]float32
}

// The mean and standard deviation of the pictures that CLIP was trained on.
var (
	clipMean = [3]float32{0.48145466, 0.4578275, 0.40821073}
	clipStd  = [3]float32{0.26862954, 0.26130258, 0.27577711}
)

// NewPreprocessor returns CLIP's own: the shortest side becomes size pixels by bicubic
// interpolation, and the middle is cut out, size × size. It panics unless size is from 1 to 8192.
func NewPreprocessor(size int) *Preprocessor {
	if !fits(size, size) {
		panic(fmt.Sprintf("clip: pictures of %d pixels", size))
	}
	return &Preprocessor{
		resize: true, shortest: size, filter: pillow.Bicubic, crop: true, cropW: size, cropH: size,
		scale: 1. / 255, mean: clipMean, std: clipStd,
	}
}

// preprocessorFile is what a preprocessor is read from.
const preprocessorFile = "preprocessor_config.json"

// preprocessorConfig is a preprocessor_config.json. What it leaves out keeps its default.
type preprocessorConfig struct {
	Type      string    `json:"image_processor_type"`
	OldType   string    `json:"feature_extractor_type"`
	Resize    bool      `json:"do_resize"`
	Size      sides     `json:"size"`
	Resample  int       `json:"resample"`
	Crop      bool      `json:"do_center_crop"`
	CropSize  sides     `json:"crop_size"`
	Rescale   bool      `json:"do_rescale"`
	Factor    float64   `json:"rescale_factor"`
	Normalize bool      `json:"do_normalize"`
	Mean      []float64 `json:"image_mean"`
	Std       []float64 `json:"image_std"`
}

// sides is a size: that of the shortest side, or height and width.
type sides struct {
	Shortest int `json:"shortest_edge"`
	Height   int `json:"height"`
	Width    int `json:"width"`
}

// UnmarshalJSON reads an object; older files have a number, which is the shortest side.
func (s *sides) UnmarshalJSON(text []byte) error {
	*s = sides{}
	if json.Unmarshal(text, &s.Shortest) == nil {
		return nil
	}
	type object sides
	return json.Unmarshal(text, (*object)(s))
}

// maxSide is the longest side of a picture that is worked on, maxPixels how many pixels it has at most: it
// keeps a wrong file from filling the memory.
const (
	maxSide   = 1 << 16
	maxPixels = 1 << 26
)

// valid says whether a picture can have these sides.
func (s sides) valid() bool {
	if s.Shortest != 0 {
		return fits(s.Shortest, s.Shortest)
	}
	return fits(s.Width, s.Height)
}

// fits says whether a picture of w × h is one that is worked on.
func fits(w, h int) bool {
	return w > 0 && h > 0 && w <= maxSide && h <= maxSide && w <= maxPixels/h
}

// ReadPreprocessor reads the preprocessor_config.json of a directory, "feature_extractor" in
// pipelines. An error names every key whose value is not supported.
func ReadPreprocessor(fsys fs.FS) (*Preprocessor, error) {
	text, err := fs.ReadFile(fsys, preprocessorFile)
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	c := preprocessorConfig{
		Resize: true, Size: sides{Shortest: 224}, Resample: int(pillow.Bicubic), Crop: true, CropSize: sides{Shortest: 224},
		Rescale: true, Factor: 1. / 255, Normalize: true,
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("clip: %s: %w", preprocessorFile, err)
	}
	return c.preprocessor()
}

// preprocessor checks the file, and returns what it describes.
func (c *preprocessorConfig) preprocessor() (*Preprocessor, error) {
	var errs []error
	fail := func(key string, value any, supported string) {
		errs = append(errs, fmt.Errorf("clip: %s: %s is %+v, supported: %s", preprocessorFile, key, value, supported))
	}
	class := func(key, name string) {
		switch name {
		case "", "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor":
		default:
			fail(key, name, "CLIPImageProcessor")
		}
	}
	class("image_processor_type", c.Type)
	class("feature_extractor_type", c.OldType)
	const size = "a side, or height and width, of at most 65536 pixels, and 67108864 in all"
	if c.Resize && !c.Size.valid() {
		fail("size", c.Size, size)
	}
	if c.Crop && !c.CropSize.valid() {
		fail("crop_size", c.CropSize, size)
	}
	if c.Resample < 0 || c.Resample >= pillow.Filters {
		fail("resample", c.Resample, "0 to 5")
	}
	p := &Preprocessor{
		resize: c.Resize, shortest: c.Size.Shortest, w: c.Size.Width, h: c.Size.Height, filter: pillow.Filter(c.Resample),
		crop: c.Crop, cropW: c.CropSize.Width, cropH: c.CropSize.Height,
		scale: 1, std: [3]float32{1, 1, 1},
	}
	if side := c.CropSize.Shortest; side != 0 {
		p.cropW, p.cropH = side, side
	}
	if c.Rescale {
		p.scale = c.Factor
	}
	if c.Normalize {
		p.mean, p.std = clipMean, clipStd
		if !colors(&p.mean, c.Mean) {
			fail("image_mean", c.Mean, "a number each for red, green and blue")
		}
		if !colors(&p.std, c.Std) || slices.Contains(p.std[:], 0) {
			fail("image_std", c.Std, "a number other than 0 each for red, green and blue")
		}
	}
	for _, v := range []uint8{0, 255} {
		for color := range p.mean {
			if x := p.value(v, color); errs == nil && x-x != 0 {
				fail("rescale_factor", c.Factor, "a number that leaves values finite, with image_mean and image_std")
			}
		}
	}
	return p, errors.Join(errs...)
}

// value returns what becomes of a byte of color c.
func (p *Preprocessor) value(v uint8, c int) float32 {
	return (float32(float64(v)*p.scale) - p.mean[c]) / p.std[c]
}

// colors sets to, unless the file leaves it out, and says whether the file has a value for each color.
func colors(to *[3]float32, from []float64) bool {
	if from == nil {
		return true
	}
	for i := range min(len(from), len(to)) {
		to[i] = float32(from[i])
	}
	return len(from) == len(to)
}

// Pixels returns what an encoder takes of pictures, all of which must have the same size after being
// resized and cut. Of a translucent picture only the colors count. It is an error where there is no
// picture, or one without pixels, or where a side is or becomes longer than 65536 pixels, or all are more
// than 2²⁶.
func (p *Preprocessor) Pixels(pictures ...image.Image) (tensor.NHWC, error) {
	if len(pictures) == 0 {
		return tensor.NHWC{}, errors.New("clip: no pictures")
	}
	var all tensor.NHWC
	for i, img := range pictures {
		picture, err := p.fit(img)
		if err != nil {
			return tensor.NHWC{}, fmt.Errorf("clip: picture %d: %w", i, err)
		}
		w, h := picture.W, picture.H
		if p.crop {
			w, h = p.cropW, p.cropH
		}
		if i == 0 {
			all = tensor.Make(len(pictures), h, w, 3)
		}
		if h != all.H || w != all.W {
			return tensor.NHWC{}, fmt.Errorf("clip: picture %d becomes %d×%d, want %d×%d as the first", i, w, h, all.W, all.H)
		}
		p.fill(all.Images(i, i+1), picture)
	}
	return all, nil
}

// fit returns the picture at the size that it is resized to.
func (p *Preprocessor) fit(img image.Image) (*pillow.Picture, error) {
	size := img.Bounds().Size()
	if !fits(size.X, size.Y) {
		return nil, fmt.Errorf("%d×%d pixels, want sides of 1 to %d, and at most %d in all", size.X, size.Y, maxSide, maxPixels)
	}
	picture := pillow.Of(img)
	if !p.resize {
		return picture, nil
	}
	w, h := p.w, p.h
	if short := p.shortest; short != 0 {
		if w, h = short, short; size.X < size.Y {
			h = short * size.Y / size.X
		} else {
			w = short * size.X / size.Y
		}
	}
	if !fits(w, h) {
		return nil, fmt.Errorf("%d×%d pixels become %d×%d, want sides of at most %d, and %d in all", size.X, size.Y, w, h, maxSide, maxPixels)
	}
	return picture.Resize(w, h, p.filter), nil
}

// fill writes the middle of a picture into dst, with black around it where it is smaller.
func (p *Preprocessor) fill(dst tensor.NHWC, picture *pillow.Picture) {
	top, left := floorHalf(picture.H-dst.H), floorHalf(picture.W-dst.W)
	var values [3][256]float32 // of each byte
	for c := range values {
		for v := range values[c] {
			values[c][v] = p.value(uint8(v), c)
		}
	}
	for y := range dst.H {
		for x := range dst.W {
			var rgb [3]uint8
			if sy, sx := y+top, x+left; uint(sy) < uint(picture.H) && uint(sx) < uint(picture.W) {
				rgb = [3]uint8(picture.Pix[3*(sy*picture.W+sx):])
			}
			pixel := dst.Pixel(0, y, x)
			for c, v := range rgb {
				pixel[c] = values[c][v]
			}
		}
	}
}

// floorHalf is n/2, rounded down.
func floorHalf(n int) int { return n >> 1 }
