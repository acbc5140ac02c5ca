package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// An output is a file that is written whole or not at all.
type output struct {
	path string      // the file itself: symbolic links are followed
	mode fs.FileMode // of the file that is replaced, 0 where there is none
}

// newOutput says, before work is spent on its content, whether the file can be written: its
// directory must exist, and it must be new or a regular file.
func newOutput(path string) (output, error) {
	if path == "" {
		return output{}, errors.New("the output file has no name")
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	o := output{path: path}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return o, fmt.Errorf("%s is a directory: name a file in it, such as %s", path, filepath.Join(path, defaultOutput))
	case err == nil && !info.Mode().IsRegular():
		return o, fmt.Errorf("%s is not a regular file", path)
	case err == nil:
		o.mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return o, err
	case strings.HasSuffix(path, string(filepath.Separator)):
		return o, fmt.Errorf("%s is not a file name", path)
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil {
		return o, fmt.Errorf("cannot write %s: %w", path, err)
	} else if !info.IsDir() {
		return o, fmt.Errorf("cannot write %s: %s is not a directory", path, dir)
	}
	return o, nil
}

// write puts content into the file: into another file of the same directory first, which then
// takes the name, so that a reader sees the old file or the new one. After an error the old one is
// untouched, and nothing else is left.
func (o output) write(content []byte) (err error) {
	dir, base := filepath.Split(o.path)
	name := filepath.Join(dir, fmt.Sprintf(".%s.%08x.tmp", base, rand.Uint32()))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // a second Close does nothing
			os.Remove(name)
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if o.mode != 0 {
		if err := f.Chmod(o.mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(name, o.path)
}
