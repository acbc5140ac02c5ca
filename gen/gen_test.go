package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestDrift holds asm/ to be what the generator writes, no file more and none less.
func TestDrift(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	err = filepath.WalkDir(asmDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(asmDir(), path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		seen[name] = true
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch generated, ok := want[name]; {
		case !ok:
			t.Errorf("asm/%s: nothing generates it", name)
		case !bytes.Equal(content, generated):
			t.Errorf("asm/%s: differs from what gen writes", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("asm/%s: generated but missing", name)
		}
	}
}
