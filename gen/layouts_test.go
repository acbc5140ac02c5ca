package main

import (
	"reflect"
	"testing"

	"github.com/lanewise/lanewise/gen/layout"
	"github.com/lanewise/lanewise/kernels"
)

// argStructs are the argument structs of package kernels, whose layout the generator mirrors.
var argStructs = []any{
	kernels.TileArgs{}, kernels.WidenArgs{}, kernels.WinogradInputArgs{}, kernels.WinogradOutputArgs{}, kernels.WinogradWeightsArgs{}, kernels.ToLanesArgs{}, kernels.ScoreArgs{}, kernels.SoftmaxArgs{}, kernels.WeighArgs{}, kernels.FromLanesArgs{},
	kernels.MomentsArgs{}, kernels.AffineArgs{}, kernels.LayerNormArgs{}, kernels.ActivateArgs{},
	kernels.PeakArgs{}, kernels.TriadArgs{},
}

// TestLayouts holds every mirrored struct to lie as the Go compiler lays it.
func TestLayouts(t *testing.T) {
	types := make(map[string]reflect.Type)
	for _, s := range argStructs {
		types[reflect.TypeOf(s).Name()] = reflect.TypeOf(s)
	}
	kinds := map[string]reflect.Kind{
		"int": reflect.Int, "slice": reflect.Slice, "float32": reflect.Float32, "bool": reflect.Bool, "act": reflect.Uint8, "half": reflect.Uint8, "winograd": reflect.Uint8,
	}
	for _, s := range layout.Structs {
		typ, ok := types[s.Name]
		if !ok {
			t.Errorf("%s: not in argStructs", s.Name)
			continue
		}
		if len(s.Fields) != typ.NumField() {
			t.Errorf("%s: %d fields, %d in Go", s.Name, len(s.Fields), typ.NumField())
			continue
		}
		for i, f := range s.Fields {
			g := typ.Field(i)
			if f.Name != g.Name || f.Offset != int(g.Offset) || kinds[f.Kind] != g.Type.Kind() {
				t.Errorf("%s: field %d is %s %s at %d; in Go %s %v at %d", s.Name, i, f.Name, f.Kind, f.Offset, g.Name, g.Type, g.Offset)
			}
		}
	}
}
