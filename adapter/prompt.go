package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/tensor"
)

// Kind is how an image prompt makes tokens.
type Kind uint8

// The kinds of IP-Adapters, and what they make tokens of.
const (
	// Plain reads the embedding of a picture, one row (clip.VisionModel's Embedding): a linear layer
	// makes all tokens of it, and each is normed.
	Plain Kind = iota
	// Plus reads the encoder's states of all patches, a row for each (those before the last layer). A
	// resampler attends to them from tokens that it has learned.
	Plus
	// Full reads all states as well, and makes a token of each.
	Full
	// Face reads the embedding of a recognised face, one row, through a network of two layers.
	Face
	// FacePlus starts from such an embedding, and attends to the encoder's states as Plus does.
	FacePlus
)

var kindNames = [...]string{"Plain", "Plus", "Full", "Face", "FacePlus"}

// String returns the name of the constant.
func (k Kind) String() string { return kindNames[k] }

// ImagePrompt makes a prompt of pictures: an IP-Adapter. It is immutable and safe for concurrent use.
type ImagePrompt struct {
	Kind Kind
	// Width is how many columns tokens have.
	Width int
	// Embedding is how many columns the embedding or states of a picture have; Identity those of the
	// embedding of a face, which FacePlus wants besides, and else 0.
	Embedding, Identity int
	// Unused lists tensors of the file that nothing asked for. They were ignored. Those of the LoRA that
	// belongs to an adapter for faces are lora.OpenFace's.
	Unused []string
	// Bytes is how much memory the weights take.
	Bytes int

	engine     *engine.Engine
	layers     []Layer
	projection projection
}

// Layer is the keys and values of an image prompt's tokens for one cross-attention layer of a U-Net.
type Layer struct {
	// Number is the layer's in the file. It counts all attention layers of the U-Net, of which every
	// other attends to itself, in the order of the way down, the way up and the middle: the
	// cross-attention layers are 1, 3, 5, ….
	Number int
	// Inner is how many columns the keys have, and as many the values.
	Inner int
	// KV makes both of tokens: the keys are in its first Inner columns.
	KV *blocks.Linear
}

// Layers returns the layers by rising number.
func (p *ImagePrompt) Layers() []Layer { return slices.Clone(p.layers) }

// projection is the network that makes the tokens of a picture.
type projection interface {
	// tokens returns how many there are for a picture of so many rows.
	tokens(rows int) int
	// build appends dst = the tokens of a picture. identity is the zero Value but for FacePlus.
	build(g *blocks.Graph, dst, picture, identity program.Value, shortcut float32)
}

// Names of the file's parts.
const (
	projPrefix  = "image_proj."
	layerPrefix = "ip_adapter."
	keySuffix   = ".to_k_ip.weight"
	valueSuffix = ".to_v_ip.weight"
)

// LoadImagePrompt reads an IP-Adapter in the layout in which they are published: the named safetensors
// file of fsys, whose tensors image_proj.* are the network that makes tokens, and
// ip_adapter.<n>.to_k_ip.weight and .to_v_ip.weight the layers. Which kind it is follows from the
// names, and all sizes from the shapes.
//
// An error names every tensor that is missing, has a shape that does not fit the others, or holds
// values that are not finite; or the names by which no kind can be told.
func LoadImagePrompt(e *engine.Engine, fsys fs.FS, name string) (*ImagePrompt, error) {
	file, err := safetensors.OpenSharded(fsys, strings.TrimSuffix(name, ".safetensors"))
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	defer file.Close()
	p := &ImagePrompt{engine: e}
	l := blocks.NewLoader(e, file, "adapter")
	sizes := &sizes{from: file}
	if err := p.loadProjection(l, sizes); err != nil {
		return nil, fmt.Errorf("adapter: %s: %w", file.Name(), err)
	}
	p.loadLayers(l, sizes, file.Names())
	if err := cmp.Or(sizes.err(), l.Err()); err != nil {
		return nil, err
	}
	if len(p.layers) == 0 {
		return nil, fmt.Errorf("adapter: %s: no tensor %s<number>%s", file.Name(), layerPrefix, keySuffix)
	}
	p.Unused, p.Bytes = l.Unused(), l.Bytes()
	return p, nil
}

// loadProjection tells the kind by the names of tensors, as diffusers does
// (UNet2DConditionLoadersMixin._convert_ip_adapter_image_proj_to_diffusers), and loads it.
func (p *ImagePrompt) loadProjection(l *blocks.Loader, s *sizes) error {
	has := func(name string) bool { return s.has(projPrefix + name) }
	switch {
	case has("proj.weight"):
		p.Kind = Plain
		p.loadPlain(l, s)
	case has("proj.3.weight"):
		p.Kind = Full
		p.loadFull(l, s)
	case has("perceiver_resampler.proj_in.weight"):
		p.Kind = FacePlus
		p.loadFacePlus(l, s)
	case has("norm.weight"):
		p.Kind = Face
		p.loadFace(l, s)
	case has("latents"):
		p.Kind = Plus
		p.loadPlus(l, s)
	default:
		return fmt.Errorf("no image prompt of a known kind: there is none of %s with proj.weight, proj.3.weight, perceiver_resampler.proj_in.weight, norm.weight or latents among %s",
			projPrefix+"*", s.excerpt())
	}
	return nil
}

// loadLayers loads the keys and values of all layers of which the file has either.
func (p *ImagePrompt) loadLayers(l *blocks.Loader, s *sizes, names []string) {
	numbers := make(map[int]bool)
	for _, name := range names {
		text, ok := strings.CutPrefix(name, layerPrefix)
		text, isKey := strings.CutSuffix(text, keySuffix)
		text, isValue := strings.CutSuffix(text, valueSuffix)
		number, err := strconv.Atoi(text)
		if ok && isKey != isValue && err == nil && strconv.Itoa(number) == text && number >= 0 {
			numbers[number] = true
		}
	}
	for _, number := range slices.Sorted(maps.Keys(numbers)) {
		module := layerPrefix + strconv.Itoa(number)
		inner := s.of(module+keySuffix, 2)[0]
		p.layers = append(p.layers, Layer{number, inner, l.Stack(module, p.Width, false,
			blocks.Part{Name: module + ".to_k_ip", Out: inner}, blocks.Part{Name: module + ".to_v_ip", Out: inner})})
	}
}

// Tokens makes the tokens of pictures, those of each behind those of the one before. A picture is its
// embedding, one row, for the kinds Plain and Face, and the encoder's states of all patches for
// Plus and Full; a prompt of several pictures has the tokens of all of them. FacePlus wants
// FaceTokens.
//
// It is an error where there is no picture, where one has another shape or holds values that are not
// finite, and where ctx is canceled, which is looked at between ops.
func (p *ImagePrompt) Tokens(ctx context.Context, pictures ...tensor.Mat) (tensor.Mat, error) {
	if p.Kind == FacePlus {
		return tensor.Mat{}, errors.New("adapter: tokens of the kind FacePlus are made by FaceTokens")
	}
	if len(pictures) == 0 {
		return tensor.Mat{}, errors.New("adapter: tokens of no picture")
	}
	total := 0
	for i, picture := range pictures {
		if err := p.checkPicture(picture); err != nil {
			return tensor.Mat{}, fmt.Errorf("adapter: picture %d: %w", i, err)
		}
		total += p.projection.tokens(picture.Rows)
	}
	out := tensor.MakeMat(total, p.Width)
	row := 0
	for _, picture := range pictures {
		end := row + p.projection.tokens(picture.Rows)
		if err := p.project(ctx, out.Slice(row, end), picture, tensor.Mat{}, 0); err != nil {
			return tensor.Mat{}, err
		}
		row = end
	}
	return out, nil
}

// FaceTokens makes the tokens of a face for the kind FacePlus: identity is the face's embedding, one row
// of Identity columns, and states are the image encoder's of the picture. With a shortcut s the
// tokens are those of the identity alone plus s times what the states make of them, as the second
// version of these adapters has it; 0 is no shortcut.
func (p *ImagePrompt) FaceTokens(ctx context.Context, identity, states tensor.Mat, shortcut float32) (tensor.Mat, error) {
	if p.Kind != FacePlus {
		return tensor.Mat{}, fmt.Errorf("adapter: tokens of the kind %v are made by Tokens", p.Kind)
	}
	identity.Check("adapter: identity")
	if identity.Rows != 1 || identity.Cols != p.Identity {
		return tensor.Mat{}, fmt.Errorf("adapter: identity of %d×%d, want 1×%d", identity.Rows, identity.Cols, p.Identity)
	}
	if err := errors.Join(finite("identity", identity), p.checkPicture(states)); err != nil {
		return tensor.Mat{}, fmt.Errorf("adapter: %w", err)
	}
	r := p.projection.(*faceResampler)
	if shortcut-shortcut != 0 {
		return tensor.Mat{}, fmt.Errorf("adapter: shortcut %v", shortcut)
	}
	if shortcut != 0 && r.width != p.Width {
		return tensor.Mat{}, fmt.Errorf("adapter: a shortcut from tokens of %d columns to those of %d", r.width, p.Width)
	}
	out := tensor.MakeMat(r.tokens(states.Rows), p.Width)
	if err := p.project(ctx, out, states, identity, shortcut); err != nil {
		return tensor.Mat{}, err
	}
	return out, nil
}

// Negative makes the tokens of no picture, for the unconditional half of guidance: those of an embedding
// of zeros, which Plain and Face are trained with. It is an error of the other kinds, for which an
// encoder has to see a picture of zeros: Tokens or FaceTokens of its states.
func (p *ImagePrompt) Negative(ctx context.Context) (tensor.Mat, error) {
	if p.Kind != Plain && p.Kind != Face {
		return tensor.Mat{}, fmt.Errorf("adapter: the negative of the kind %v are the tokens of the encoder's states of a picture of zeros", p.Kind)
	}
	return p.Tokens(ctx, tensor.MakeMat(1, p.Embedding))
}

// checkPicture returns an error unless tokens can be made of m.
func (p *ImagePrompt) checkPicture(m tensor.Mat) error {
	m.Check("adapter: picture")
	one := p.Kind == Plain || p.Kind == Face
	switch {
	case one && (m.Rows != 1 || m.Cols != p.Embedding):
		return fmt.Errorf("embedding of %d×%d, want 1×%d", m.Rows, m.Cols, p.Embedding)
	case m.Rows < 1 || m.Cols != p.Embedding:
		return fmt.Errorf("states of %d×%d, want at least 1 of %d columns", m.Rows, m.Cols, p.Embedding)
	}
	return finite("picture", m)
}

// finite returns an error where a value is NaN or infinite.
func finite(what string, m tensor.Mat) error {
	for r := range m.Rows {
		for c, v := range m.Row(r) {
			if v-v != 0 {
				return fmt.Errorf("%s: row %d is %v at column %d", what, r, v, c)
			}
		}
	}
	return nil
}

// project fills dst with the tokens of one picture.
func (p *ImagePrompt) project(ctx context.Context, dst, picture, identity tensor.Mat, shortcut float32) error {
	g := &blocks.Graph{Engine: p.engine}
	src := input(g, "picture", picture)
	id := program.Value{}
	if identity.Rows > 0 {
		id = input(g, "identity", identity)
	}
	tokens := g.Mat(dst.Rows, dst.Cols)
	p.projection.build(g, tokens, src, id, shortcut)
	g.Add(program.Op{Name: "tokens", Kind: "copy", Src: []program.Value{tokens}, Bind: func(m program.Memory) func() {
		s := m.Mat(tokens)
		return func() { copyRows(dst, s) }
	}})
	return g.Build().Run(ctx)
}

// input appends a copy of m, and returns it.
func input(g *blocks.Graph, name string, m tensor.Mat) program.Value {
	v := g.Mat(m.Rows, m.Cols)
	g.Add(program.Op{Name: name, Kind: "copy", Dst: v, Bind: func(mem program.Memory) func() {
		d := mem.Mat(v)
		return func() { copyRows(d, m) }
	}})
	return v
}

// copyRows copies src to the first rows of dst.
func copyRows(dst, src tensor.Mat) {
	for r := range src.Rows {
		copy(dst.Row(r), src.Row(r))
	}
}
