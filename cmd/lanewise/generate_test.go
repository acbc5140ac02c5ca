package main

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/kernels"
)

// lanewise runs the command in dir.
func lanewise(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(dir)
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// picture returns a file of dir, its size in pixels and its notes by keyword.
func picture(t *testing.T, dir, name string) (content []byte, width, height int, notes map[string]string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	notes = make(map[string]string)
	for _, n := range notesOf(t, content) {
		notes[n.keyword] = n.text
	}
	return content, img.Bounds().Dx(), img.Bounds().Dy(), notes
}

// writePicture writes a PNG file of 8 × 4 pixels.
func writePicture(t *testing.T, dir, name string) {
	t.Helper()
	p := image.NewRGBA(image.Rect(0, 0, 8, 4))
	for i := range p.Pix {
		p.Pix[i] = uint8(i) | 0x80*uint8(i%4/3)
	}
	content, err := encodePNG(p, nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestGenerate(t *testing.T) {
	const took = `\d+\.\d+ s`
	for _, c := range []struct {
		name          string
		args          []string
		width, height int
		stdout        string // regular expressions
		stderr        string
		parameters    string
		command       string
	}{
		{
			"one picture",
			[]string{"red heart", "--seed", "7", "--steps", "1"}, 256, 256,
			`out\.png: 256×256 pixels, "red heart", style noto, seed 7, 1 step, ` + took + "\n", "",
			"red heart\nSteps: 1, Sampler: ddim, CFG scale: 1.5, Seed: 7, Size: 32x32, Model: emoji, Style: noto, Images: 1",
			"lanewise generate --style noto --seed 7 --steps 1 --guidance 1.5 --sampler ddim -n 1 --scale 8 --columns 1 -- 'red heart'",
		},
		{
			"several seeds",
			[]string{"star", "--seed", "7", "--steps", "1", "-n", "3", "--scale", "1", "--guidance", "1", "--sampler", "Euler", "--style", "flat", "-o", "out.png"},
			65, 65,
			`out\.png: 65×65 pixels, "star", style flat, seeds 7 to 9, 1 step, ` + took + "\n",
			`picture 1 of 3: "star", style flat, seed 7, ` + took + "\n" + `picture 2 of 3: "star", style flat, seed 8, ` + took + "\n" +
				`picture 3 of 3: "star", style flat, seed 9, ` + took + "\n",
			"star\nSteps: 1, Sampler: euler, CFG scale: 1, Seed: 7, Size: 32x32, Model: emoji, Style: flat, Images: 3",
			"lanewise generate --style flat --seed 7 --steps 1 --guidance 1 --sampler euler -n 3 --scale 1 --columns 2 -- 'star'",
		},
		{
			"prompts and styles",
			[]string{"zebra's STAR", "", "--seed", "1", "--steps", "1", "--style", "Noto,none, fluent,noto", "--scale", "2", "--quiet", "--guidance", "1"},
			3*64 + 2*2, 2*(64+3*13) + 2, "", `lanewise: warning: the model does not know "zebras"` + "\n",
			"zebra's STAR\n\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto none fluent, Images: 1",
			`lanewise generate --style noto,none,fluent --seed 1 --steps 1 --guidance 1 --sampler ddim -n 1 --scale 2 --columns 3 -- 'zebra'\''s STAR' ''`,
		},
		{
			"columns",
			[]string{"sun", "--seed", "1", "--steps", "1", "--style", "all", "--scale", "1", "-q", "--guidance", "1", "--columns", "2"},
			2*32 + 1, 3*32 + 2*1, "", "",
			"sun\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto blob twemoji flat fluent, Images: 1",
			"lanewise generate --style noto,blob,twemoji,flat,fluent --seed 1 --steps 1 --guidance 1 --sampler ddim -n 1 --scale 1 --columns 2 -- 'sun'",
		},
		{
			"styles without labels",
			[]string{"sun", "--seed", "1", "--steps", "1", "--styles", "noto,flat", "--scale", "2", "-q", "--guidance", "1", "--labels=false"},
			2*64 + 2, 64, "", "",
			"sun\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto flat, Images: 1",
			"lanewise generate --style noto,flat --seed 1 --steps 1 --guidance 1 --sampler ddim -n 1 --scale 2 --columns 2 --labels=false -- 'sun'",
		},
		{
			"styles listed and mixed",
			[]string{"sun", "--seed", "1", "--steps", "1", "--style", "Flat,none", "--style", "noto:0.5, none:1,flat:-.25", "--style", "blob", "--style", "flat", "--scale", "2", "--guidance", "1"},
			4*64 + 3*2, 64 + 3*13,
			`out\.png: 262×103 pixels, "sun", 4 styles, seed 1, 1 step, ` + took + "\n",
			`(?s).*picture 3 of 4: "sun", 50% noto 100% none -25% flat, seed 1, .*`,
			"sun\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: flat none noto:0.5,none:1,flat:-0.25 blob, Images: 1",
			"lanewise generate --style flat,none --style noto:0.5,none:1,flat:-0.25 --style blob --seed 1 --steps 1 --guidance 1 --sampler ddim -n 1 --scale 2 --columns 4 -- 'sun'",
		},
		{
			"interpolation",
			[]string{"sun", "--seed", "1", "--steps", "1", "--interpolate", "noto, none,flat", "--frames", "5", "--scale", "2", "--guidance", "1"},
			5*64 + 4*2, 64 + 2*13,
			`out\.png: 328×90 pixels, "sun", style noto to style flat, seed 1, 1 step, ` + took + "\n",
			`(?s)picture 1 of 5: "sun", style noto, .*picture 2 of 5: "sun", 50% noto 50% none, .*picture 3 of 5: "sun", no style, .*`,
			"sun\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto noto:0.5,none:0.5 none none:0.5,flat:0.5 flat, Images: 1",
			"lanewise generate --interpolate 'noto, none,flat' --frames 5 --seed 1 --steps 1 --guidance 1 --sampler ddim -n 1 --scale 2 --columns 5 -- 'sun'",
		},
		{
			"mix and guidance",
			[]string{"--mix", "cat face:0.6", "fr'og : 4e-1", "--negative", "zebra", "--rescale", "0.7", "--interval", ":5", "--seed", "1", "--steps", "1", "--scale", "1"},
			32, 32,
			`out\.png: 32×32 pixels, 0\.6 "cat face" \+ 0\.4 "fr'og", style noto, seed 1, 1 step, ` + took + "\n",
			`lanewise: warning: the model does not know "zebra"` + "\n",
			"cat face :0.6 AND fr'og :0.4\nNegative prompt: zebra\nSteps: 1, Sampler: ddim, CFG scale: 1.5, Seed: 1, Size: 32x32, Model: emoji, Style: noto, Images: 1, CFG rescale: 0.7, CFG interval: 0:5",
			`lanewise generate --style noto --mix 'cat face:0.6' --mix 'fr'\''og:0.4' --negative 'zebra' --seed 1 --steps 1 --guidance 1.5 --rescale 0.7 --interval 0:5 --sampler ddim -n 1 --scale 1 --columns 1`,
		},
		{
			"from a picture",
			[]string{"--from", "out.png", "--style", "noto,flat", "--seed", "1", "--steps", "2", "--strength", "0.5", "--scale", "1", "--guidance", "1"},
			3*32 + 2, 32,
			`out\.png: 98×32 pixels, "", 2 styles, seed 1, strength 0.5 of 2 steps from out.png, ` + took + "\n",
			`(?s)picture 1 of 2: .*picture 2 of 2: .*`,
			"\nSteps: 2, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto flat, Images: 1, Denoising strength: 0.5, From: out.png",
			"lanewise generate --style noto,flat --from 'out.png' --strength 0.5 --seed 1 --steps 2 --guidance 1 --sampler ddim -n 1 --scale 1 --columns 3 -- ''",
		},
		{
			"sampler and schedule",
			[]string{"sun", "--sampler", "DPM++SDE", "--schedule", "Karras", "--seed", "1", "--steps", "2", "--scale", "1", "--guidance", "1"},
			32, 32,
			`out\.png: 32×32 pixels, "sun", style noto, seed 1, 2 steps, ` + took + "\n", "",
			"sun\nSteps: 2, Sampler: dpm++sde, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto, Images: 1, Schedule type: karras",
			"lanewise generate --style noto --seed 1 --steps 2 --guidance 1 --sampler dpm++sde --schedule karras -n 1 --scale 1 --columns 1 -- 'sun'",
		},
		{
			"doubtful",
			[]string{"sun", "--sampler", "heun", "--seed", "1", "--steps", "2", "--scale", "1", "--guidance", "1", "-q"},
			32, 32, "", "lanewise: warning: step 1 of heun goes from sigma .*\n",
			"sun\nSteps: 2, Sampler: heun, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto, Images: 1",
			"lanewise generate --style noto --seed 1 --steps 2 --guidance 1 --sampler heun -n 1 --scale 1 --columns 1 -- 'sun'",
		},
		{
			"many prompts",
			[]string{"a", "star", "a", "sun", "--seed", "1", "--steps", "1", "--style", "none,flat", "-n", "2", "--scale", "1", "--guidance", "1"},
			2*32 + 1, 8*32 + 7,
			"out\\.png: 65×263 pixels, 4 prompts, 2 styles, seeds 1 to 2, 1 step, " + took + "\n",
			"(?s)lanewise: warning.*picture 4 of 16: \"a\", style flat, seed 2, .*",
			"a\nstar\na\nsun\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: none flat, Images: 2",
			"lanewise generate --style none,flat --seed 1 --steps 1 --guidance 1 --sampler ddim -n 2 --scale 1 --columns 2 -- 'a' 'star' 'a' 'sun'",
		},
		{
			"long prompt",
			[]string{strings.Repeat("red ", 15) + "heart", "--seed", "1", "--steps", "1", "-q", "--guidance", "1", "--scale", "1"},
			32, 32, "", `lanewise: warning: the model takes 14 words and does not see "red", "heart"` + "\n",
			strings.Repeat("red ", 15) + "heart\nSteps: 1, Sampler: ddim, CFG scale: 1, Seed: 1, Size: 32x32, Model: emoji, Style: noto, Images: 1",
			"lanewise generate --style noto --seed 1 --steps 1 --guidance 1 --sampler ddim -n 1 --scale 1 --columns 1 -- '" + strings.Repeat("red ", 15) + "heart'",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writePicture(t, dir, "out.png") // which is replaced
			code, stdout, stderr := lanewise(t, dir, append([]string{"generate"}, c.args...)...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			for _, o := range []struct{ name, got, want string }{{"stdout", stdout, c.stdout}, {"stderr", stderr, c.stderr}} {
				if !regexp.MustCompile("^(?:" + o.want + ")$").MatchString(o.got) {
					t.Errorf("%s is %q, want %q", o.name, o.got, o.want)
				}
			}
			_, width, height, notes := picture(t, dir, "out.png")
			if width != c.width || height != c.height {
				t.Errorf("%d×%d pixels, want %d×%d", width, height, c.width, c.height)
			}
			if notes["parameters"] != c.parameters {
				t.Errorf("parameters are %q, want %q", notes["parameters"], c.parameters)
			}
			if notes["Comment"] != c.command {
				t.Errorf("the command is %q, want %q", notes["Comment"], c.command)
			}
			if !strings.HasPrefix(notes["Software"], "Lanewise ") {
				t.Errorf("made by %q", notes["Software"])
			}
			if got := names(t, dir); got != "out.png" {
				t.Errorf("the directory holds %s", got)
			}
		})
	}
}

// What a run says its seed was makes the same file again; the pictures of a sheet are those of
// its seeds alone.
func TestGenerateAgain(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := lanewise(t, dir, "generate", "red heart", "--steps", "1", "--scale", "1")
	seed := regexp.MustCompile(`seed (\d+),`).FindStringSubmatch(stdout)
	if code != 0 || seed == nil {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	first, _, _, _ := picture(t, dir, "out.png")
	for _, workers := range []string{"1", "3"} {
		if code, _, stderr := lanewise(t, dir, "generate", "red heart", "--steps", "1", "--scale", "1", "--seed", seed[1], "--workers", workers); code != 0 {
			t.Fatal(stderr)
		}
		if again, _, _, _ := picture(t, dir, "out.png"); !bytes.Equal(again, first) {
			t.Errorf("seed %s makes another file with %s workers", seed[1], workers)
		}
	}
}

// skipSlow skips, in short runs, a test whose many pictures take minutes in pure Go.
func skipSlow(t *testing.T) {
	if testing.Short() && kernels.Available()[0].ISA == kernels.Generic {
		t.Skip("takes minutes in pure Go")
	}
}

// There are several ways to say one thing.
func TestGenerateSame(t *testing.T) {
	skipSlow(t)
	for _, c := range [][2][]string{
		{{"sun", "--style", "all"}, {"sun", "--styles", "noto,blob,twemoji,flat,fluent"}},
		{{"sun", "--style", "noto,flat"}, {"sun", "--style", "noto", "--style", "flat"}},
		{{"--mix", "cat:0.6", "dog:0.4"}, {"--mix", "cat:0.6", "--mix", "dog:0.4"}},
		{{"dog:0.4", "--mix", "cat:0.6"}, {"--mix", "cat:0.6", "--mix", "dog:0.4"}},
		{{"sun"}, {"--mix", "sun:1"}},
		{{"sun", "--interpolate", "noto,flat", "--frames", "2"}, {"sun", "--style", "noto,flat"}},
		{{"sun", "--interval", "1:2", "--interval", "0:"}, {"sun"}},
		{{"sun", "--schedule", "trailing"}, {"sun"}},
		{{"--from", "in.png"}, {"", "--from", "in.png", "--strength", "0.6"}},
	} {
		var pixels [2][]byte
		for i, args := range c {
			dir := t.TempDir()
			writePicture(t, dir, "in.png")
			code, _, stderr := lanewise(t, dir, append([]string{"generate", "--seed", "1", "--steps", "2", "--scale", "2", "-q"}, args...)...)
			if code != 0 {
				t.Fatalf("%q: %s", args, stderr)
			}
			f, err := os.Open(filepath.Join(dir, "out.png"))
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(f)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			pixels[i] = img.(*image.RGBA).Pix
		}
		if !bytes.Equal(pixels[0], pixels[1]) {
			t.Errorf("%q and %q make different pictures", c[0], c[1])
		}
	}
}

// The command in a file makes the file again.
func TestGenerateComment(t *testing.T) {
	skipSlow(t)
	dir := t.TempDir()
	writePicture(t, dir, "in put.png")
	args := []string{"generate", "--mix", "cat:0.6", "dog:-0.4", "--negative", "it's red", "--from", "in put.png", "--strength", "0.7", "--style", "noto:0.5,flat:0.25",
		"--style", "all", "--steps", "3", "--seed", "5", "--rescale", "0.25", "--interval", "0.5:", "--guidance", "2.5", "--scale", "2", "-n", "2", "--sampler", "euler-ancestral", "--schedule", "karras", "--conv", "winograd2", "--accuracy", "fine"}
	if code, _, stderr := lanewise(t, dir, args...); code != 0 {
		t.Fatal(stderr)
	}
	first, _, _, notes := picture(t, dir, "out.png")
	if code, _, stderr := lanewise(t, dir, words(notes["Comment"])[1:]...); code != 0 {
		t.Fatalf("%s: %s", notes["Comment"], stderr)
	}
	if again, _, _, _ := picture(t, dir, "out.png"); !bytes.Equal(again, first) {
		t.Errorf("%s makes another file", notes["Comment"])
	}
}

// words splits a command line of words and single quotes as a shell does.
func words(line string) []string {
	var all []string
	word, quoted, begun := "", false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			quoted, begun = !quoted, true
		case c == '\\' && !quoted:
			i++
			word += line[i : i+1]
		case c == ' ' && !quoted:
			if begun || word != "" {
				all = append(all, word)
			}
			word, begun = "", false
		default:
			word += string(c)
		}
	}
	return append(all, word)
}

func TestGenerateUnknownISA(t *testing.T) {
	t.Setenv("LANEWISE_ISA", "mmx")
	if code, _, stderr := lanewise(t, t.TempDir(), "generate", "a"); code != 1 || !strings.Contains(stderr, "mmx") || !strings.Contains(stderr, "generic") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// cancelOn cancels a context when it is written to.
type cancelOn struct {
	cancel context.CancelFunc
	w      io.Writer
}

func (c cancelOn) Write(p []byte) (int, error) {
	c.cancel()
	return c.w.Write(p)
}

// An interrupted run leaves the file as it was.
func TestGenerateCanceled(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("out.png", []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr bytes.Buffer
	// The first picture's line cancels the second.
	code := run(ctx, []string{"generate", "star", "-n", "50", "--steps", "1", "--guidance", "1"}, &stdout, cancelOn{cancel, &stderr})
	if code != 130 || stdout.Len() > 0 || !strings.HasSuffix(stderr.String(), "lanewise: interrupted; nothing was written\n") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
	if n := strings.Count(stderr.String(), "picture "); n != 1 {
		t.Errorf("%d pictures made", n)
	}
	if got := names(t, dir); got != "out.png" {
		t.Errorf("the directory holds %s", got)
	}
	if got, err := os.ReadFile("out.png"); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q (%v)", got, err)
	}
}

func TestProfile(t *testing.T) {
	total := []string{`the peak is \d+ GFLOP/s \(\w+, 1 worker\)`, `GFLOP/s +% peak`, `\btotal\b`}
	for flag, want := range map[string][]string{
		"--profile":      append(total, `\bconv +winograd4\b`, `\bgemm\b`, `\bnorm\b`, `\battention\b`),
		"--profile=kind": total,
		"--profile=op":   append(total, `conv +winograd2 +mid_block\.resnets\.0\.conv1\b`, `conv +direct +conv_in\b`, `attention +mid_block\.`),
	} {
		code, stdout, stderr := lanewise(t, t.TempDir(), "generate", "star", "--steps", "1", flag, "--workers", "1")
		if code != 0 {
			t.Fatal(stderr)
		}
		for _, want := range want {
			if !regexp.MustCompile(want).MatchString(stdout) {
				t.Errorf("%s: %q does not say %q", flag, stdout, want)
			}
		}
	}
}
