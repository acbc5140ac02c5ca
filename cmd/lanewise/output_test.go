package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// names lists a directory, hidden files too.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestOutputReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	for _, content := range []string{"first and longer", "second"} {
		o, err := newOutput(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%q (%v), want %q", got, err, content)
		}
	}
	if got := names(t, dir); got != "a.png" {
		t.Errorf("the directory holds %s", got)
	}
}

// The new file has the permissions of the one it replaces, and a symbolic link stays one.
func TestOutputKeepsModeAndLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links of another kind")
	}
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.png"), filepath.Join(dir, "link.png")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.png", link); err != nil {
		t.Fatal(err)
	}
	o, err := newOutput(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v (%v), want 0640", info.Mode(), err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("%q (%v), want %q", got, err, "new")
	}
	if target, err := os.Readlink(link); err != nil || target != "a.png" {
		t.Errorf("the link points to %q (%v)", target, err)
	}
}

// Where the last step fails, the old content and nothing else remains.
func TestOutputFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	o, err := newOutput(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := o.write([]byte("new")); err == nil {
		t.Error("no error")
	}
	if got := names(t, dir); got != "a.png" {
		t.Errorf("the directory holds %s", got)
	}
}

func TestNewOutputErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"", "no name"},
		{dir, "is a directory"},
		{filepath.Join(dir, "none", "a.png"), "none"},
		{filepath.Join(dir, "new") + string(filepath.Separator), "not a file name"},
		{filepath.Join(file, "a.png"), "not a directory"},
		{os.DevNull, "not a regular file"},
	} {
		if _, err := newOutput(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.path, err, c.want)
		}
	}
}
