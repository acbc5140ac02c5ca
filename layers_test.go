package lanewise_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lanewise/lanewise"

// layers is the order of the house, from the ground up. A package may import packages of the
// lines above its own, never of its own or below. Folders of packages stand for all in them.
var layers = [][]string{
	{"tensor", "asm", "safetensors", "config", "internal/portable", "internal/ref", "internal/nfc", "internal/size", "internal/winograd"},
	{"kernels", "sampler", "cond", "internal/pillow"},
	{"engine"},
	{"gemm", "norm", "activation", "resample", "attention", "internal/kerneltest"},
	{"conv", "lora"},
	{"program"},
	{"blocks"},
	{"internal/checkpoint"},
	{"adapter", "internal/denoiser", "internal/modeltest"},
	{"unet", "dit", "clip", "vae"},
	{"pipeline"},
	{"models"},
	{"cmd", "bench", "internal/golden"},
}

// foreign lists the modules that a package may import besides the standard library. Those that are
// not named import none.
var foreign = map[string][]string{
	"safetensors":         {"golang.org/x/sys"},
	"kernels":             {"github.com/klauspost/cpuid/v2"},
	"internal/kerneltest": {"golang.org/x/sys"},
	"cmd": {"github.com/spf13/cobra", "github.com/schollz/progressbar/v3", "golang.org/x/term", "golang.org/x/image",
		"github.com/klauspost/cpuid/v2"},
}

// layer is the line of layers that holds dir, and the entry that does.
func layer(dir string) (int, string) {
	for i, entries := range layers {
		for _, entry := range entries {
			if dir == entry || strings.HasPrefix(dir, entry+"/") {
				return i, entry
			}
		}
	}
	return -1, ""
}

// TestLayers holds imports to run downwards, on every kind of machine. Tests of a package may
// import anything.
func TestLayers(t *testing.T) {
	contexts := []build.Context{
		{GOOS: "linux", GOARCH: "amd64"}, {GOOS: "linux", GOARCH: "arm64"}, {GOOS: "linux", GOARCH: "riscv64"},
		{GOOS: "windows", GOARCH: "amd64"}, {GOOS: "linux", GOARCH: "amd64", BuildTags: []string{"purego"}},
	}
	for _, dir := range packages(t) {
		level, entry := layer(dir)
		if level < 0 {
			t.Errorf("%s: stands in no layer; give it a place in layers", dir)
			continue
		}
		for _, c := range contexts {
			c.GOROOT, c.Compiler, c.ReleaseTags = build.Default.GOROOT, build.Default.Compiler, build.Default.ReleaseTags
			pkg, err := c.ImportDir(filepath.FromSlash(dir), 0)
			if err != nil {
				if _, ok := err.(*build.NoGoError); ok {
					continue
				}
				t.Fatal(err)
			}
			for _, path := range pkg.Imports {
				switch rest, ours := strings.CutPrefix(path, module+"/"); {
				case ours:
					if l, _ := layer(rest); l >= level && !strings.HasPrefix(rest, entry+"/") {
						t.Errorf("%s imports %s, which does not lie below it", dir, rest)
					}
				case strings.Contains(strings.Split(path, "/")[0], "."):
					if !slices.ContainsFunc(foreign[entry], func(m string) bool { return strings.HasPrefix(path, m) }) {
						t.Errorf("%s imports %s, which is not its to import", dir, path)
					}
				}
			}
		}
	}
}

// packages returns every folder with Go files that belongs to this module, but the root.
func packages(t *testing.T) []string {
	var dirs []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() || path == "." {
			return nil
		}
		if name := d.Name(); name == "testdata" || strings.HasPrefix(name, ".") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
			return filepath.SkipDir // a nested module
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
			dirs = append(dirs, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}
