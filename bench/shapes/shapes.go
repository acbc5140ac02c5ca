// Package shapes holds the layer shapes of real models that everything is measured on, a file for each
// kind of operator.
package shapes

import (
	"bufio"
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// Files holds <kind>.txt for every kind.
//
//go:embed *.txt
var Files embed.FS

// Read reads <kind>.txt: a shape of n positive numbers on each line, comments after #.
func Read(files fs.FS, kind string, n int) (all [][]int, err error) {
	name := kind + ".txt"
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != n {
			return nil, fmt.Errorf("%s: %q: %d numbers, want %d", name, line, len(words), n)
		}
		shape := make([]int, n)
		for i, word := range words {
			if _, err := fmt.Sscan(word, &shape[i]); err != nil {
				return nil, fmt.Errorf("%s: %q: %v", name, line, err)
			}
			if shape[i] < 1 {
				return nil, fmt.Errorf("%s: %q: %d is not positive", name, line, shape[i])
			}
		}
		all = append(all, shape)
	}
	return all, lines.Err()
}
