package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A command that cannot be carried out is one line on stderr, and leaves no file.
func TestGenerateErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"needs a prompt", `generate "red heart"`}},
		{[]string{"a", "--style", "oil"}, []string{`unknown style "oil" (styles: noto, blob, twemoji, flat, fluent, all, none)`}},
		{[]string{"a", "--style", ""}, []string{"--style is empty", "noto"}},
		{[]string{"a", "--sampler", "magic"}, []string{`unknown sampler "magic" (samplers: ddim, ddpm, pndm, euler, `}},
		{[]string{"a", "--sampler", ""}, []string{`unknown sampler ""`}},
		{[]string{"a", "--schedule", "even"}, []string{`unknown schedule "even" (schedules: leading, linspace, trailing, karras, `}},
		{[]string{"a", "--schedule", ""}, []string{`unknown schedule ""`}},
		{[]string{"star", "--sampler", "pndm", "--schedule", "Karras"}, []string{`pndm has no schedule "karras"; it has leading, linspace, trailing`}},
		{[]string{"star", "--sampler", "lcm", "--schedule", "lu"}, []string{`lcm has no schedules`, "distilled"}},
		{[]string{"star", "--sampler", "tcd", "--steps", "51"}, []string{"tcd: ", "51 steps, want 1 to 50"}},
		{[]string{"star", "--sampler", "pndm", "--steps", "3"}, []string{"pndm: ", "3 steps", "at least 4"}},
		{[]string{"a", "--steps", "0"}, []string{"--steps is 0", "1 to 1000"}},
		{[]string{"a", "--steps", "1001"}, []string{"--steps is 1001"}},
		{[]string{"a", "--steps", "many"}, []string{"steps", "many"}},
		{[]string{"a", "--guidance", "NaN"}, []string{"--guidance is NaN", "above 0"}},
		{[]string{"a", "--guidance", "Inf"}, []string{"--guidance is +Inf"}},
		{[]string{"a", "--guidance", "0"}, []string{"--guidance is 0"}},
		{[]string{"a", "-n", "0"}, []string{"--number is 0"}},
		{[]string{"a", "-n", "-2"}, []string{"--number is -2"}},
		{[]string{"a", "--scale", "0"}, []string{"--scale is 0", "1 to 64"}},
		{[]string{"a", "--scale", "65"}, []string{"--scale is 65"}},
		{[]string{"a", "--columns", "0"}, []string{"--columns is 0"}},
		{[]string{"a", "--workers", "-1"}, []string{"--workers is -1"}},
		{[]string{"a", "--profile=x"}, []string{`unknown profile "x" (profiles: kind, op)`}},
		{[]string{"a", "--conv", "fast"}, []string{"--conv", `unknown algorithm "fast" (algorithms: auto, direct, winograd2,`}},
		{[]string{"a", "--accuracy", "best"}, []string{"--accuracy", `unknown accuracy "best" (accuracies: normal, fine)`}},
		{[]string{"a", "--seed", "-1"}, []string{"seed", "-1"}},
		{[]string{"a", "-n", "9000", "--scale", "64"}, []string{"9000 pictures of 2048×2048", "268435456 pixels"}},
		{[]string{"a", "b", "-n", "9000", "--scale", "1"}, []string{"18000 pictures"}},
		{[]string{"a", "-o", "."}, []string{"is a directory", "out.png"}},
		{[]string{"a", "-o", "none/out.png"}, []string{"none"}},
		{[]string{"a", "--model", "none"}, []string{"--model", "none"}},
		{[]string{"a", "--model", "."}, []string{"--model .", "model_index.json", "holds notes.txt"}},
		{[]string{"a", "--model", "notes.txt"}, []string{"--model", "not a directory"}},
		{[]string{"a", "--colour", "red"}, []string{"--colour"}},
		{[]string{"a", "--style", "noto,,flat"}, []string{`unknown style ""`}},
		{[]string{"a", "--style", "noto:0.5,flat"}, []string{`--style: "flat" has no weight`, `"flat:0.5"`}},
		{[]string{"a", "--style", "noto:0.5,oil:0.5"}, []string{`unknown style "oil"`}},
		{[]string{"a", "--style", "noto:0.5,all:0.5"}, []string{`unknown style "all"`}},
		{[]string{"a", "--style", "noto:half"}, []string{`weight "half"`, "finite number"}},
		{[]string{"a", "--style", "noto:"}, []string{`weight ""`}},
		{[]string{"a", "--style", ":1"}, []string{`":1" has nothing before the colon`}},
		{[]string{"a", "--styles", ""}, []string{"--style is empty"}},
		{[]string{"a", "--style", "noto", "--styles", "flat"}, []string{"give one of them"}},
		{[]string{"a", "--interpolate", "noto"}, []string{`--interpolate is "noto"`, "two styles", "noto,blob"}},
		{[]string{"a", "--interpolate", ""}, []string{"--interpolate is empty"}},
		{[]string{"a", "--interpolate", "noto,oil"}, []string{`--interpolate: unknown style "oil"`}},
		{[]string{"a", "--interpolate", "noto,flat", "--frames", "1"}, []string{"--frames is 1", "2 to"}},
		{[]string{"a", "--interpolate", "noto,flat,blob", "--frames", "2"}, []string{"--frames is 2", "at least 3"}},
		{[]string{"a", "--interpolate", "noto,flat", "--style", "blob"}, []string{"leave --style out"}},
		{[]string{"a", "--frames", "3"}, []string{"--interpolate"}},
		{[]string{"--mix", "cat"}, []string{`--mix: "cat" has no weight`, `"cat:0.5"`}},
		{[]string{"--mix", "cat:0.6", "dog"}, []string{`--mix: "dog" has no weight`}},
		{[]string{"--mix", "cat:NaN"}, []string{`weight "NaN"`}},
		{[]string{"--mix", "cat:Inf"}, []string{`weight "Inf"`}},
		{[]string{"--mix", "cat:0"}, []string{`weight "0"`, "other than 0"}},
		{[]string{"--mix", "cat:0.5x"}, []string{`weight "0.5x"`}},
		{[]string{"--mix", " :0.5"}, []string{"nothing before the colon"}},
		{[]string{"--mix", "cat:1e308", "--guidance", "100"}, []string{"scale +Inf"}},
		{[]string{"a", "--negative", "b", "--guidance", "1"}, []string{"--negative", "no guidance"}},
		{[]string{"--mix", "a:0.5", "--negative", "b", "--guidance", "2"}, []string{"--negative is for guidance", "no guidance"}},
		{[]string{"a", "--rescale", "0.5", "--guidance", "1"}, []string{"--rescale", "no guidance"}},
		{[]string{"a", "--rescale", "1.5"}, []string{"--rescale is 1.5", "0 to 1"}},
		{[]string{"a", "--rescale", "NaN"}, []string{"--rescale is NaN"}},
		{[]string{"a", "--interval", "5"}, []string{`--interval is "5"`, "LOW:HIGH"}},
		{[]string{"a", "--interval", ":"}, []string{`--interval is ":"`}},
		{[]string{"a", "--interval", ""}, []string{"--interval is empty"}},
		{[]string{"a", "--interval", "5:1"}, []string{`--interval is "5:1"`}},
		{[]string{"a", "--interval", ":0"}, []string{`--interval is ":0"`}},
		{[]string{"a", "--interval", "-1:2"}, []string{`--interval is "-1:2"`}},
		{[]string{"a", "--interval", "1:NaN"}, []string{`--interval is "1:NaN"`}},
		{[]string{"a", "--interval", "1:Inf"}, []string{`--interval is "1:Inf"`}},
		{[]string{"a", "--strength", "0.5"}, []string{"--from"}},
		{[]string{"a", "--from", "notes.txt", "--strength", "0"}, []string{"--strength is 0", "up to 1"}},
		{[]string{"a", "--from", "notes.txt", "--strength", "1.1"}, []string{"--strength is 1.1"}},
		{[]string{"a", "--from", "notes.txt", "--strength", "NaN"}, []string{"--strength is NaN"}},
		{[]string{"a", "--from", "notes.txt"}, []string{"--from: notes.txt", "PNG, JPEG, GIF, WebP"}},
		{[]string{"a", "--from", "none.png"}, []string{"--from", "none.png"}},
		{[]string{"a", "--from", "."}, []string{"--from", "."}},
		{[]string{"a", "--from", ""}, []string{"--from is empty"}},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := lanewise(t, dir, append([]string{"generate"}, c.args...)...)
		if code != 1 || stdout != "" {
			t.Errorf("%q: exit code %d, stdout %q", c.args, code, stdout)
		}
		if !strings.HasPrefix(stderr, "lanewise: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: not a line: %q", c.args, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q: %q does not say %q", c.args, stderr, want)
			}
		}
		if got := names(t, dir); got != "notes.txt" {
			t.Errorf("%q: the directory holds %s", c.args, got)
		}
	}
}
