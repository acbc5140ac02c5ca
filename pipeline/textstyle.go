// Package pipeline puts the models of a diffusers directory together: from a prompt to a picture.
//
//	m, err := pipeline.LoadTextStyle(e, os.DirFS("my-model"))
//	s := m.Session()
//	for step, err := range s.Generate(ctx, pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 7}) {
//		if err != nil {
//			return err
//		}
//		if step.Done() {
//			err = png.Encode(file, step.Picture())
//		}
//	}
package pipeline

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/unet"
)

// TextStyle is a diffusion model of pixels that is conditioned on a text, by cross-attention, and
// on a style, by a class label: a directory whose model_index.json says PixelTextStylePipeline,
// with unet, text_encoder, tokenizer and scheduler. It is immutable and safe for concurrent use.
type TextStyle struct {
	Index
	Sampler  string // the default, one of sampler.Names
	Schedule string // what that follows by default, one of sampler.ScheduleNames, or "" where it follows none
	Words    *clip.Words
	Text     *clip.TextModel
	UNet     *unet.Model

	samplers samplers
}

// LoadTextStyle reads a text and style model. An error says which of its parts it is about.
func LoadTextStyle(e *engine.Engine, fsys fs.FS) (*TextStyle, error) {
	index, err := ReadIndex(fsys)
	if err != nil {
		return nil, err
	}
	m := &TextStyle{Index: index}
	for _, part := range []struct {
		name string
		load func(fs.FS) error
	}{
		{"tokenizer", func(dir fs.FS) (err error) { m.Words, err = clip.LoadWords(dir); return err }},
		{"text_encoder", func(dir fs.FS) (err error) { m.Text, err = clip.LoadText(e, dir); return err }},
		{"unet", func(dir fs.FS) (err error) { m.UNet, err = unet.Load(e, dir); return err }},
		{"scheduler", m.readSamplers},
	} {
		dir, err := fs.Sub(fsys, part.name)
		if err == nil {
			err = part.load(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("pipeline: %s: %w", part.name, err)
		}
	}
	if err := m.checkParts(); err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	return m, nil
}

// checkParts finds parts that do not fit together.
func (m *TextStyle) checkParts() error {
	switch u, t := m.UNet.Config, m.Text.Config; {
	case u.InChannels != channels || u.OutChannels != channels:
		return fmt.Errorf("the U-Net takes %d channels and returns %d, want %d", u.InChannels, u.OutChannels, channels)
	case u.ContextDim != t.Width:
		return fmt.Errorf("the U-Net attends to states of %d values, the text encoder makes %d", u.ContextDim, t.Width)
	case m.Words.Length() > t.Positions:
		return fmt.Errorf("the tokenizer makes %d tokens, the text encoder takes %d", m.Words.Length(), t.Positions)
	case m.Words.Vocabulary() > t.Vocabulary:
		return fmt.Errorf("the tokenizer has %d tokens, the text encoder knows %d", m.Words.Vocabulary(), t.Vocabulary)
	case max(m.NoStyle+1, len(m.Styles)) > u.Classes:
		return fmt.Errorf("%d styles and label %d for none, the U-Net has %d classes", len(m.Styles), m.NoStyle, u.Classes)
	}
	return nil
}

// channels of a picture: red, green, blue.
const channels = 3
