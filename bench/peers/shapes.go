package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// readShapes reads <name>.txt in the folder of shapes: n numbers on each line, comments after #.
func readShapes(folder, name string, n int) ([][]int, error) {
	path := filepath.Join(folder, name+".txt")
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w (run in bench/peers, or say -shapes)", err)
	}
	defer f.Close()
	all, err := parseShapes(f, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

func parseShapes(r io.Reader, n int) (all [][]int, err error) {
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
