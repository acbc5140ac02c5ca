// Package layout mirrors the argument structs of package kernels: the generator cannot import that
// package, which imports what is generated. TestLayouts in gen compares the two.
package layout

import (
	"fmt"
	"strings"
)

// A Struct mirrors an argument struct.
type Struct struct {
	Name   string
	Fields []Field
}

// Field is one field: its name, its kind, and where it lies.
type Field struct {
	Name   string
	Kind   string // int, slice, float32, bool, act, half or winograd
	Offset int
}

var kinds = map[string]struct{ size, align int }{
	"int": {8, 8}, "slice": {24, 8}, "float32": {4, 4}, "bool": {1, 1}, "act": {1, 1}, "half": {1, 1}, "winograd": {1, 1},
}

// Structs lists every mirrored struct.
var Structs []*Struct

// mirror declares an argument struct by lines of "Name Name kind".
func mirror(name, fields string) *Struct {
	s := &Struct{Name: name}
	offset := 0
	for line := range strings.Lines(fields) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		kind := words[len(words)-1]
		k, ok := kinds[kind]
		if !ok {
			panic(fmt.Sprintf("%s: unknown kind %q", name, kind))
		}
		for _, field := range words[:len(words)-1] {
			offset = (offset + k.align - 1) / k.align * k.align
			s.Fields = append(s.Fields, Field{field, kind, offset})
			offset += k.size
		}
	}
	Structs = append(Structs, s)
	return s
}

// Offset is where the field lies, in bytes.
func (s *Struct) Offset(field string) int {
	for _, f := range s.Fields {
		if f.Name == field {
			return f.Offset
		}
	}
	panic(fmt.Sprintf("%s has no field %s", s.Name, field))
}
