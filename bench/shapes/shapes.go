// Package shapes holds the layer shapes of real models that everything is measured on, a file for each
// kind of operator.
package shapes

import (
	"bufio"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Files holds <kind>.txt for every kind.
//
//go:embed *.txt
var Files embed.FS

// Read reads <kind>.txt: n positive numbers on each line, comments after #.
func Read(files fs.FS, kind string, n int) ([][]int, error) {
	f, err := files.Open(kind + ".txt")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := Parse(f, n)
	if err != nil {
		return nil, fmt.Errorf("%s.txt: %w", kind, err)
	}
	return all, nil
}

// Parse reads shapes of n positive numbers.
func Parse(r io.Reader, n int) (all [][]int, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != n {
			return nil, fmt.Errorf("%q: %d numbers, want %d", line, len(words), n)
		}
		shape := make([]int, n)
		for i, word := range words {
			if _, err := fmt.Sscan(word, &shape[i]); err != nil {
				return nil, fmt.Errorf("%q: %v", line, err)
			}
			if shape[i] < 1 {
				return nil, fmt.Errorf("%q: %d is not positive", line, shape[i])
			}
		}
		all = append(all, shape)
	}
	return all, lines.Err()
}
