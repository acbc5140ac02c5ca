package arm64

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// assembled returns the words that binutils' assembler makes of instructions, one a line. It skips the
// test where there is none.
func assembled(t *testing.T, instructions []string) []uint32 {
	t.Helper()
	const as, objcopy = "aarch64-linux-gnu-as", "aarch64-linux-gnu-objcopy"
	for _, tool := range []string{as, objcopy} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s (Debian: binutils-aarch64-linux-gnu), which encodings are compared with", tool)
		}
	}
	dir := t.TempDir()
	source, object, binary_ := filepath.Join(dir, "x.s"), filepath.Join(dir, "x.o"), filepath.Join(dir, "x.bin")
	text := ".arch armv8-a\n" + strings.Join(instructions, "\n") + "\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{as, "-o", object, source}, {objcopy, "-O", "binary", "-j", ".text", object, binary_}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", command, out)
		}
	}
	content, err := os.ReadFile(binary_)
	if err != nil {
		t.Fatal(err)
	}
	words := make([]uint32, len(content)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(content[4*i:])
	}
	return words
}

// compare holds words to what the other assembler makes of their mnemonics.
func compare(t *testing.T, words []Word) {
	t.Helper()
	instructions := make([]string, len(words))
	for i, w := range words {
		instructions[i] = w.GNU
	}
	want := assembled(t, instructions)
	if len(want) != len(words) {
		t.Fatalf("%d instructions became %d words", len(words), len(want))
	}
	bad := 0
	for i, w := range words {
		if w.Code != want[i] {
			if bad++; bad <= 10 {
				t.Errorf("%s: %#08x, the assembler says %#08x", w.GNU, w.Code, want[i])
			}
		}
	}
}

// operands are the values that an instruction's parameter of each type is tried with.
func operands(typ reflect.Type) []reflect.Value {
	limits := map[reflect.Type][2]int{
		reflect.TypeFor[V]():     {0, 31},
		reflect.TypeFor[R]():     {0, 17}, // of those that kernels may use
		reflect.TypeFor[Lane]():  {0, vector - 1},
		reflect.TypeFor[Shift](): {1, 32},
	}
	limit, ok := limits[typ]
	if !ok {
		panic(fmt.Sprintf("parameter of type %v", typ))
	}
	var values []reflect.Value
	for i := limit[0]; i <= limit[1]; i++ {
		values = append(values, reflect.ValueOf(i).Convert(typ))
	}
	return values
}

// TestEncodings tries every instruction over all values of each operand, the others being
// different ones in each turn.
func TestEncodings(t *testing.T) {
	var words []Word
	c := code{emit: func(w Word) { words = append(words, w) }}
	v := reflect.ValueOf(c)
	if v.NumMethod() < 15 {
		t.Fatalf("%d methods", v.NumMethod())
	}
	for i := range v.NumMethod() {
		method := v.Method(i)
		typ := method.Type()
		before := len(words)
		for p := range typ.NumIn() {
			for n, value := range operands(typ.In(p)) {
				in := make([]reflect.Value, typ.NumIn())
				for q := range in {
					others := operands(typ.In(q))
					in[q] = others[(5*n+11*q+3)%len(others)]
				}
				in[p] = value
				method.Call(in)
			}
		}
		if len(words) == before {
			t.Errorf("%s wrote nothing", v.Type().Method(i).Name)
		}
	}
	compare(t, words)
}

// TestEmitted holds every distinct word of the generated files to its mnemonic.
func TestEmitted(t *testing.T) {
	_, words, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[Word]bool)
	var distinct []Word
	for _, w := range words {
		if !seen[w] {
			seen[w] = true
			distinct = append(distinct, w)
		}
	}
	compare(t, distinct)
	t.Logf("%d distinct of %d words", len(distinct), len(words))
}
