package shapes

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	read := func(text string) ([][]int, error) {
		return Read(fstest.MapFS{"k.txt": {Data: []byte(text)}}, "k", 2)
	}
	got, err := read("# m n\n\n 3 4 # what for\n50 60\n")
	if err != nil || !reflect.DeepEqual(got, [][]int{{3, 4}, {50, 60}}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"1 2 3\n", "1\n", "1 x\n", "1 0\n", "1 -2\n"} {
		if got, err := read(bad); err == nil || !strings.Contains(err.Error(), "k.txt") {
			t.Errorf("%q: %v, %v; want an error that names the file", bad, got, err)
		}
	}
	if _, err := Read(Files, "nothing", 2); err == nil {
		t.Error("shapes of nothing")
	}
}
