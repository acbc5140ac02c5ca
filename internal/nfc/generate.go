//go:build ignore

// This program writes canonical.txt from the Unicode Character Database:
//
//	go run generate.go /usr/share/unicode >canonical.txt
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const notice = `# Canonical decompositions and combining classes of Unicode 15.0.0, made by generate.go from
# UnicodeData.txt and DerivedNormalizationProps.txt of the Unicode Character Database.
# © 2022 Unicode, Inc. Unicode and the Unicode Logo are registered trademarks of Unicode, Inc. in the U.S. and
# other countries. For terms of use, see https://www.unicode.org/terms_of_use.html
#
# "X A B": X is A and B, and they make X. "X! A B", "X! A": X becomes that, and that never X.
# "X..Y N": characters X to Y are of combining class N.
`

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run generate.go <folder of the Unicode Character Database>")
	}
	excluded := make(map[string]bool)
	for _, f := range read("DerivedNormalizationProps.txt") {
		if f[1] == "Full_Composition_Exclusion" {
			first, last, ok := strings.Cut(f[0], "..")
			if !ok {
				last = first
			}
			for r := point(first); r <= point(last); r++ {
				excluded[fmt.Sprintf("%04X", r)] = true
			}
		}
	}
	fmt.Print(notice)
	var classes strings.Builder
	var first, last, class = 0, -1, "0"
	end := func() {
		if class != "0" {
			fmt.Fprintf(&classes, "%04X..%04X %s\n", first, last, class)
		}
	}
	for _, f := range read("UnicodeData.txt") {
		if to := f[5]; to != "" && to[0] != '<' {
			mark := ""
			if excluded[f[0]] {
				mark = "!"
			}
			fmt.Printf("%s%s %s\n", f[0], mark, to)
		}
		if r := point(f[0]); f[3] != class || r != last+1 {
			end()
			first, class = r, f[3]
		}
		last = point(f[0])
	}
	end()
	fmt.Print(classes.String())
}

// read returns the fields of the lines of a file of the database.
func read(name string) (lines [][]string) {
	f, err := os.Open(filepath.Join(os.Args[1], name))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		fields := strings.Split(line, ";")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if len(fields) > 1 {
			lines = append(lines, fields)
		}
	}
	if err := s.Err(); err != nil {
		log.Fatal(err)
	}
	return lines
}

// point reads a code point.
func point(hex string) int {
	r, err := strconv.ParseInt(hex, 16, 32)
	if err != nil {
		log.Fatal(err)
	}
	return int(r)
}
