package emoji_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/tensor"
)

func load(t testing.TB, workers int) *pipeline.TextStyle {
	t.Helper()
	m, err := emoji.Load(kerneltest.Engine(t, nil, workers))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// generate makes a picture and returns what it is at the end.
func generate(t *testing.T, s *pipeline.Session, r pipeline.Request) tensor.NHWC {
	t.Helper()
	var x tensor.NHWC
	for step, err := range s.Generate(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		x = step.X
	}
	return x
}

func TestLoad(t *testing.T) {
	m := load(t, 1)
	if want := []string{"noto", "blob", "twemoji", "flat", "fluent"}; !slices.Equal(m.Styles, want) {
		t.Errorf("styles %v, want %v", m.Styles, want)
	}
	if m.Steps != 20 || m.Guidance != 1.5 || m.Size != 32 || m.Sampler != "ddim" || m.Schedule != "trailing" || m.NoStyle != 5 {
		t.Errorf("%+v, sampler %s, schedule %s", m.Index, m.Sampler, m.Schedule)
	}
	concepts, err := emoji.Concepts()
	if err != nil || len(concepts) != 70 {
		t.Errorf("%d concepts (%v), want 70", len(concepts), err)
	}
	for _, c := range concepts {
		if unknown := m.Words.Encode(c).Unknown; len(unknown) > 0 {
			t.Errorf("%q has words that the model does not know: %v", c, unknown)
		}
	}
	for _, source := range []string{"Apache-2.0", "CC-BY-4.0", "MIT", "Google", "Microsoft", "Twitter"} {
		if !strings.Contains(emoji.Notice, source) {
			t.Errorf("the notice does not say %s", source)
		}
	}
}

// A picture is the same bit for bit whatever the workers, and from a session that made others.
func TestGenerateSameBits(t *testing.T) {
	r := pipeline.Request{Prompt: "blue apple", Style: "flat", Seed: 3, Steps: 2}
	want := generate(t, load(t, 1).Session(), r)
	for _, workers := range []int{2, 7} {
		s := load(t, workers).Session()
		for _, other := range []pipeline.Request{
			{Prompt: "pizza", Style: "noto", Seed: 4, Steps: 1},
			{Prompt: "pizza", Steps: 1, Guidance: 1},
		} {
			if slices.Equal(generate(t, s, other).Data, want.Data) {
				t.Errorf("%+v makes the same picture", other)
			}
		}
		kerneltest.Same(t, "picture", generate(t, s, r).Data, want.Data)
	}
}

// Everything that a request says has a part in the picture.
func TestGenerateFollowsRequest(t *testing.T) {
	s := load(t, 2).Session()
	base := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 1, Steps: 1, Guidance: 1.5, Sampler: "ddim"}
	want := generate(t, s, base)
	for name, change := range map[string]func(*pipeline.Request){
		"prompt":   func(r *pipeline.Request) { r.Prompt = "red apple" },
		"style":    func(r *pipeline.Request) { r.Style = "fluent" },
		"no style": func(r *pipeline.Request) { r.Style = "" },
		"seed":     func(r *pipeline.Request) { r.Seed = 2 },
		"steps":    func(r *pipeline.Request) { r.Steps = 2 },
		"guidance": func(r *pipeline.Request) { r.Guidance = 1 },
		"sampler":  func(r *pipeline.Request) { r.Sampler = "lcm" }, // most others go to x0 in one step
		"schedule": func(r *pipeline.Request) { r.Schedule = "leading" },
	} {
		r := base
		change(&r)
		if slices.Equal(generate(t, s, r).Data, want.Data) {
			t.Errorf("another %s makes the same picture", name)
		}
	}
	defaults := base
	defaults.Guidance, defaults.Sampler = 0, ""
	kerneltest.Same(t, "defaults", generate(t, s, defaults).Data, want.Data)
}

// Guidance 1 is what guidance near 1 tends to.
func TestGuidanceOne(t *testing.T) {
	s := load(t, 2).Session()
	r := pipeline.Request{Prompt: "frog", Style: "twemoji", Seed: 5, Steps: 2, Guidance: 1}
	plain := generate(t, s, r)
	r.Guidance = 1 + 1e-7
	near(t, "guided", generate(t, s, r).Data, plain.Data, 1e-5)
}

func TestGenerateErrors(t *testing.T) {
	s := load(t, 1).Session()
	for name, c := range map[string]struct {
		r    pipeline.Request
		want string
	}{
		"style":    {pipeline.Request{Style: "oil"}, `unknown style "oil" (styles: noto, blob, twemoji, flat, fluent)`},
		"sampler":  {pipeline.Request{Sampler: "magic"}, `unknown sampler "magic" (samplers: ddim, ddpm, pndm, euler, `},
		"steps":    {pipeline.Request{Steps: 1001}, "1001 steps"},
		"negative": {pipeline.Request{Steps: -1}, "-1 steps"},
		"guidance": {pipeline.Request{Guidance: math.Inf(1)}, "guidance +Inf"},
	} {
		n := 0
		for _, err := range s.Generate(t.Context(), c.r) {
			if n++; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d steps, want an error alone", name, n)
		}
	}
}

// Cancellation ends the steps with an error, also from within one, and the session goes on to the
// next picture; so it does where a loop is left.
func TestGenerateCancel(t *testing.T) {
	s := load(t, 2).Session()
	r := pipeline.Request{Prompt: "star", Style: "noto", Seed: 1, Steps: 3}
	want := generate(t, s, r)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := 0
	for _, err := range s.Generate(ctx, r) {
		if err == nil {
			done++
			cancel()
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if done != 1 {
		t.Errorf("%d steps done, want 1", done)
	}
	for range s.Generate(t.Context(), r) {
		break
	}
	within := &countdown{Context: t.Context(), left: 40} // ops of the first step
	for _, err := range s.Generate(within, r) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled within a step: %v", err)
		}
	}
	if within.after > 1 {
		t.Errorf("looked at the context %d times after it was canceled", within.after)
	}
	kerneltest.Same(t, "picture", generate(t, s, r).Data, want.Data)
}

// countdown is a context that is canceled when it was looked at so many times.
type countdown struct {
	context.Context
	left, after int
}

func (c *countdown) Err() error {
	if c.left--; c.left >= 0 {
		return nil
	}
	c.after++
	return context.Canceled
}

func TestPicture(t *testing.T) {
	var step pipeline.Step
	step.X = tensor.Make(1, 2, 3, 3)
	values := []float32{-1, 1, 0, -2, 5, -0.996, 0.5 / 127.5, 1.5 / 127.5, 0.9999}
	copy(step.X.Data, values)
	p := step.Picture()
	want := []uint8{0, 255, 128, 255, 0, 255, 1, 255, 128, 129, 255, 255}
	if got := p.Pix[:len(want)]; !slices.Equal(got, want) {
		t.Errorf("pixels %v, want %v", got, want)
	}
	step.X, step.X0 = tensor.Make(1, 2, 3, 3), step.X
	if !slices.Equal(step.Preview().Pix, p.Pix) {
		t.Error("the preview is another picture of the same values")
	}
	if b := p.Bounds(); b.Dx() != 3 || b.Dy() != 2 {
		t.Errorf("bounds %v", b)
	}
}

// overlay is the model's directory with files replaced, or taken out where the content is nil.
func overlay(t *testing.T, change map[string][]byte) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(emoji.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(emoji.Files(), path)
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range change {
		if delete(files, name); content != nil {
			files[name] = &fstest.MapFile{Data: content}
		}
	}
	return files
}

func TestLoadErrors(t *testing.T) {
	replaced := func(name, old, new string) map[string][]byte {
		data, err := fs.ReadFile(emoji.Files(), name)
		if err != nil || !strings.Contains(string(data), old) {
			t.Fatalf("%s does not say %s (%v)", name, old, err)
		}
		return map[string][]byte{name: []byte(strings.Replace(string(data), old, new, 1))}
	}
	for _, c := range []struct {
		name   string
		change map[string][]byte
		want   []string
	}{
		{"nothing", nil, nil},
		{"no index", map[string][]byte{"model_index.json": nil}, []string{"model_index.json", "unet/", "text_encoder/"}},
		{"no U-Net", map[string][]byte{"unet/diffusion_pytorch_model.safetensors": nil}, []string{"unet", "diffusion_pytorch_model"}},
		{"no vocabulary", map[string][]byte{"tokenizer/vocab.json": nil}, []string{"tokenizer", "vocab.json"}},
		{"no schedule", map[string][]byte{"scheduler/scheduler_config.json": nil}, []string{"scheduler", "scheduler_config.json"}},
		{"no encoder", map[string][]byte{"text_encoder/config.json": nil}, []string{"text_encoder", "config.json"}},
		{"schedule", replaced("scheduler/scheduler_config.json", "DDIMScheduler", "OtherScheduler"), []string{"scheduler", "OtherScheduler"}},
		{"styles", replaced("model_index.json", `"noto",`, `"noto", "ink",`), []string{"unconditional_style", "6 styles"}},
		{"label", replaced("model_index.json", `"unconditional_style": 5`, `"unconditional_style": 6`), []string{"label 6", "6 classes"}},
		{"long texts", replaced("tokenizer/tokenizer_config.json", `"model_max_length": 16`, `"model_max_length": 17`), []string{"17 tokens", "takes 16"}},
		{"vocabulary", replaced("tokenizer/vocab.json", `"8": 3`, `"8": 858`), []string{"859 tokens", "knows 858"}},
	} {
		_, err := pipeline.LoadTextStyle(kerneltest.Engine(t, nil, 1), overlay(t, c.change))
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	e := kerneltest.Engine(b, nil, 2)
	for b.Loop() {
		if _, err := emoji.Load(e); err != nil {
			b.Fatal(err)
		}
	}
}

// sub is a directory of the model.
func sub(t *testing.T, name string) fs.FS {
	t.Helper()
	dir, err := fs.Sub(emoji.Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
