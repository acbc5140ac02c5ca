package kernels_test

import (
	"reflect"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// Every Set has each kernel, made for it: none is another's, not the portable one either.
func TestSetsAreWhole(t *testing.T) {
	maker := make(map[uintptr]kernels.ISA)
	for _, set := range kerneltest.Sets(t) {
		var visit func(name string, v reflect.Value)
		visit = func(name string, v reflect.Value) {
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					visit(name+"."+v.Type().Field(i).Name, v.Field(i))
				}
			case reflect.Func:
				if v.IsNil() {
					t.Errorf("%v%s is nil", set.ISA, name)
				} else if isa, known := maker[v.Pointer()]; known {
					t.Errorf("%v%s is a kernel of %v", set.ISA, name, isa)
				} else {
					maker[v.Pointer()] = set.ISA
				}
			}
		}
		visit("", reflect.ValueOf(set).Elem())
	}
}
