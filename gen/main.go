// Command gen writes the assembly under asm/. Run it from anywhere in this module:
//
//	go run github.com/lanewise/lanewise/gen
//
// Everything under asm/ is its output and nothing else: delete the folder, run gen, and it is back
// byte for byte. TestDrift compares.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"

	"github.com/lanewise/lanewise/gen/arm64"
	"github.com/lanewise/lanewise/gen/x86"
)

func main() {
	log.SetFlags(0)
	files, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.RemoveAll(asmDir()); err != nil {
		log.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(asmDir(), filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns every file under asm/ by its slash-separated path.
func generate() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, w := range x86.Widths {
		pkg, err := x86.Generate(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name, err)
		}
		for name, content := range pkg {
			files[w.Name+"/"+name] = content
		}
	}
	pkg, _, err := arm64.Generate()
	if err != nil {
		return nil, fmt.Errorf("neon: %w", err)
	}
	for name, content := range pkg {
		files["neon/"+name] = content
	}
	return files, nil
}

// asmDir is the folder asm/ beside this module's, found by the place of this source file.
func asmDir() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		log.Fatal("gen: no source position")
	}
	return filepath.Join(filepath.Dir(filepath.Dir(file)), "asm")
}
