package pipeline

import (
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

const indexText = `{"_class_name": "PixelTextStylePipeline", "text_encoder": ["transformers", "CLIPTextModel"],
	"styles": ["ink", "oil"], "unconditional_style": 2, "default_guidance_scale": 1.5, "default_num_inference_steps": 10,
	"image_size": 16}`

func directory(index string) fs.FS {
	return fstest.MapFS{"model_index.json": {Data: []byte(index)}, "unet/config.json": {Data: []byte("{}")}}
}

func TestReadIndex(t *testing.T) {
	got, err := ReadIndex(directory(indexText))
	want := Index{Styles: []string{"ink", "oil"}, NoStyle: 2, Size: 16, Steps: 10, Guidance: 1.5}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
	for style, label := range map[string]int{"": 2, "ink": 0, "oil": 1} {
		if got, err := want.Label(style); err != nil || got != label {
			t.Errorf("style %q: label %d (%v), want %d", style, got, err, label)
		}
	}
	if _, err := want.Label("chalk"); err == nil || !strings.Contains(err.Error(), `"chalk" (styles: ink, oil)`) {
		t.Errorf("an unknown style: %v", err)
	}
}

func TestReadIndexErrors(t *testing.T) {
	replaced := func(old, new string) fs.FS { return directory(strings.Replace(indexText, old, new, 1)) }
	for _, c := range []struct {
		name  string
		files fs.FS
		want  []string
	}{
		{"no file", fstest.MapFS{"unet/config.json": {}, "a.txt": {}}, []string{"model_index.json", "a.txt", "unet/"}},
		{"empty", fstest.MapFS{}, []string{"model_index.json", "nothing"}},
		{"not JSON", directory("{"), []string{"model_index.json"}},
		{"no class", replaced("_class_name", "class"), []string{"_class_name", "PixelTextStylePipeline"}},
		{"other class", replaced("PixelTextStylePipeline", "StableDiffusionPipeline"), []string{"_class_name", "StableDiffusionPipeline", "PixelTextStylePipeline"}},
		{"other encoder", replaced("CLIPTextModel", "T5EncoderModel"), []string{"text_encoder", "T5EncoderModel", "CLIPTextModel"}},
		{"style twice", replaced("oil", "ink"), []string{"styles", "ink"}},
		{"style without name", replaced("oil", ""), []string{"styles"}},
		{"negative label", replaced(": 2", ": -1"), []string{"unconditional_style", "-1"}},
		{"label of a style", replaced(": 2", ": 1"), []string{"unconditional_style", "1", "2 styles"}},
		{"size", replaced(": 16", ": 0"), []string{"image_size", "0"}},
	} {
		_, err := ReadIndex(c.files)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
}
