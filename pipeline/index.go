package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/config"
)

// indexName is the file that says what a directory of models is.
const indexName = "model_index.json"

// Index is the model_index.json of a text and style model.
type Index struct {
	Styles   []string // by label, from 0
	NoStyle  int      // the label that stands for no style
	Size     int      // of a picture, in pixels each way
	Steps    int      // the default
	Guidance float64  // the default
}

// ReadIndex reads the index of a directory whose _class_name is PixelTextStylePipeline.
func ReadIndex(fsys fs.FS) (Index, error) {
	c, err := config.Open(fsys, indexName)
	if errors.Is(err, fs.ErrNotExist) {
		return Index{}, fmt.Errorf("pipeline: no %s; the directory holds %s", indexName, listing(fsys))
	}
	if err != nil {
		return Index{}, err
	}
	const class = "PixelTextStylePipeline"
	if got := c.String("_class_name", "", class); got == "" {
		c.Fail("_class_name", class)
	}
	c.Only("text_encoder", []string{"transformers", "CLIPTextModel"})
	c.Only("tokenizer", []string{"word", "WordTokenizer"})
	c.Only("unet", []string{"diffusers", "UNet2DConditionModel"})
	x := Index{
		Styles:   c.Strings("styles", nil),
		Size:     c.Size("image_size", 32),
		Steps:    c.Size("default_num_inference_steps", 20),
		Guidance: c.Float("default_guidance_scale", 1),
	}
	x.NoStyle = c.Int("unconditional_style", len(x.Styles))
	if x.NoStyle < len(x.Styles) {
		c.Fail("unconditional_style", fmt.Sprintf("a label above those of the %d styles", len(x.Styles)))
	}
	for i, s := range x.Styles {
		if s == "" || slices.Contains(x.Styles[:i], s) {
			c.Fail("styles", "names that are not empty, each once")
			break
		}
	}
	return x, c.Err()
}

// Label returns the class label of a style; that of no style where the name is empty.
func (x Index) Label(style string) (int, error) {
	if style == "" {
		return x.NoStyle, nil
	}
	label := slices.Index(x.Styles, style)
	if label < 0 {
		return 0, fmt.Errorf("pipeline: unknown style %q (styles: %s)", style, strings.Join(x.Styles, ", "))
	}
	return label, nil
}

// listing names what a directory holds, for an error.
func listing(fsys fs.FS) string {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return "nothing that can be read: " + err.Error()
	}
	if len(entries) == 0 {
		return "nothing"
	}
	const most = 20
	var names []string
	for _, e := range entries {
		if len(names) == most {
			names = append(names, "…")
			break
		}
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
