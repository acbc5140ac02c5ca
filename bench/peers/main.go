// Command peers measures Lanewise beside the libraries that people use instead, on the shapes of
// bench/shapes, interleaved in one process.
//
//	go run . [flags] [gemm] [conv] [attention] [norm] [errors]
//
// README.md says what it needs and how to read what it prints.
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/cpuid/v2"

	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/kernels"
)

// kind is a table: an operator and its file of shapes.
type kind struct {
	name   string
	sheets []sheet
	peers  []*peer

	unit   string
	layout func(loaded []*peer) layout
	// after prints what follows the table; nil for nothing.
	after func(o options) error
	// print prints what is no race, without rows, unit and layout.
	print func(o options) error
}

// sheet is a file of shapes and the rows that they make.
type sheet struct {
	file    string
	numbers int // of a shape
	rows    func(shape []int) []row
}

// one makes a row of each shape.
func one(rowOf func(shape []int) row) func([]int) []row {
	return func(shape []int) []row { return []row{rowOf(shape)} }
}

var kinds = []kind{
	{name: "gemm", sheets: []sheet{{"gemm", 3, one(gemmRow)}}, unit: "GFLOP/s", layout: libraries,
		peers: []*peer{openBLAS, oneDNN, onnxRuntime, gonum, gomlx, vek}},
	{name: "conv", sheets: []sheet{{"conv", 7, one(convRow)}}, unit: "GFLOP/s", layout: convLayout, peers: []*peer{oneDNN, onnxRuntime}},
	{name: "attention", sheets: attentionSheets, unit: "GFLOP/s", layout: libraries, peers: []*peer{oneDNN, onnxRuntime, pyTorch}},
	{name: "norm", sheets: []sheet{{"norm", 3, normRows}}, unit: "GB/s", layout: normLayout, after: printTriad, peers: []*peer{oneDNN, onnxRuntime, pyTorch}},
	{name: "errors", sheets: []sheet{{file: "errors", numbers: 4}}, peers: []*peer{oneDNN}, print: printErrors},
}

// options is what the flags say.
type options struct {
	workers []int
	isas    []kernels.ISA
	theirs  kernels.ISA // the widest that libraries may take
	rounds  int
	burst   time.Duration
	match   *regexp.Regexp
	shapes  fs.FS
	loaded  map[*peer]bool
	csv     *csv.Writer // nil for none
}

func main() {
	runtime.LockOSThread() // onednn.h says why
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() error {
	workers := flag.String("workers", defaultWorkers(), "how many threads everybody gets, `a list`: a row for each")
	isas := flag.String("isa", "", "the instruction sets of Lanewise, `a list`: a column for each; by default the best, or the libraries'")
	peerISA := flag.String("peer-isa", "", "`avx2` holds the libraries to it, and leaves out those that cannot be held")
	rounds := flag.Int("rounds", 7, "in each of which everybody runs for a burst")
	burst := flag.Duration("burst", 60*time.Millisecond, "how long")
	match := flag.String("match", "", "only shapes that match `a regular expression`")
	folder := flag.String("shapes", "../shapes", "the `folder` of shapes")
	only := flag.String("peers", "", "only these libraries, `a list`")
	csvFile := flag.String("csv", "", "a `file` for the figures of every contender")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run . [flags] [gemm] [conv] [attention] [norm] [errors]")
		flag.PrintDefaults()
	}
	flag.Parse()

	o := options{rounds: *rounds, burst: *burst, shapes: os.DirFS(*folder)}
	var err error
	if o.match, err = regexp.Compile(*match); err != nil {
		return fmt.Errorf("-match: %w", err)
	}
	if o.rounds < 1 || o.burst <= 0 {
		return errors.New("-rounds and -burst are positive")
	}
	if o.workers, err = parseWorkers(*workers); err != nil {
		return fmt.Errorf("-workers: %w", err)
	}
	o.theirs = kernels.Available()[0].ISA
	if *peerISA != "" {
		held, err := parseISAs(*peerISA)
		if err != nil || !slices.Equal(held, []kernels.ISA{kernels.AVX2}) {
			return fmt.Errorf("-peer-isa: libraries can be held to avx2, on machines that have it, not to %q", *peerISA)
		}
		o.theirs = held[0]
		if *isas == "" {
			*isas = *peerISA
		}
	}
	if o.isas, err = parseISAs(*isas); err != nil {
		return fmt.Errorf("-isa: %w", err)
	}
	chosen, err := choose(flag.Args())
	if err != nil {
		return err
	}
	if o.loaded, err = load(*only, o.theirs); err != nil {
		return fmt.Errorf("-peers: %w", err)
	}
	if *csvFile != "" {
		f, err := os.Create(*csvFile)
		if err != nil {
			return err
		}
		defer f.Close()
		o.csv = csv.NewWriter(f)
		if err := o.csv.Write(csvHead); err != nil {
			return err
		}
	}
	debug.SetGCPercent(-1) // collections come between the rounds
	for _, k := range chosen {
		measure := k.measure
		if k.print != nil {
			measure = k.print
		}
		if err := measure(o); err != nil {
			return err
		}
	}
	if restless > 0 {
		fmt.Printf("\n%d times threads had not gone to sleep when the next library began.\n", restless)
	}
	return nil
}

// measure prints the table of a kind.
func (k kind) measure(o options) error {
	var rows []row
	width := 0
	for _, sheet := range k.sheets {
		all, err := shapes.Read(o.shapes, sheet.file, sheet.numbers)
		if err != nil {
			return fmt.Errorf("%w (run in bench/peers, or say -shapes)", err)
		}
		for _, shape := range all {
			for _, row := range sheet.rows(shape) {
				if o.match.MatchString(row.shape) {
					rows = append(rows, row)
					width = max(width, utf8.RuneCountInString(row.shape))
				}
			}
		}
	}
	var names []string
	for _, isa := range o.isas {
		names = append(names, isa.String())
	}
	var loaded []*peer
	for _, p := range k.peers {
		if o.loaded[p] {
			loaded = append(loaded, p)
		}
	}
	fmt.Printf("\n%s, %s\n\n", k.name, k.unit)
	t := newTable(os.Stdout, width, names, k.layout(loaded), k.unit)
	var notes []string
	for _, row := range rows {
		for _, workers := range o.workers {
			r, err := row.race(o, workers)
			if err != nil {
				return err
			}
			t.add(r)
			if o.csv != nil {
				if err := writeCSV(o.csv, r); err != nil {
					return err
				}
			}
			for _, e := range r.entries {
				if e.note != "" {
					notes = append(notes, fmt.Sprintf("%s, workers %d: %s %s: %s", r.shape, workers, e.peer.name, e.variant, e.note))
				}
			}
		}
	}
	if len(notes) > 0 {
		fmt.Print("\nDid not take part:\n\n- ", strings.Join(notes, "\n- "), "\n")
	}
	if k.after != nil {
		return k.after(o)
	}
	return nil
}

// race runs a row with everybody who is there.
func (w row) race(o options, workers int) (*race, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers)) // what the libraries in Go go by
	r := &race{row: w, workers: workers, loaded: func(p *peer) bool { return o.loaded[p] }}
	for _, isa := range o.isas {
		e, err := newOurs(isa, workers)
		if err != nil {
			return nil, err
		}
		defer e.Close()
		r.ours = append(r.ours, e)
	}
	i := slices.Index(o.isas, o.theirs)
	if i >= 0 {
		r.theirs = r.ours[i]
	} else {
		e, err := newOurs(o.theirs, workers)
		if err != nil {
			return nil, err
		}
		defer e.Close()
		r.theirs = e
	}
	defer runtime.GC()
	defer r.close()
	w.enter(r)
	return r, r.run(o.rounds, o.burst)
}

// load loads the libraries, says of each what it is or how to get it, and returns those that are there. Where isa is
// not the best of this machine, they are held to it.
func load(only string, isa kernels.ISA) (map[*peer]bool, error) {
	wanted := peers
	if only != "" {
		wanted = nil
		for _, name := range strings.Split(only, ",") {
			i := slices.IndexFunc(peers, func(p *peer) bool { return fold(p.name) == fold(name) })
			if i < 0 {
				return nil, fmt.Errorf("there is no %q", name)
			}
			wanted = append(wanted, peers[i])
		}
	}
	fmt.Printf("%s, %s, %s/%s\n\n", cpuid.CPU.BrandName, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	loaded := map[*peer]bool{}
	for _, p := range wanted {
		if isa != kernels.Available()[0].ISA && !p.holds(isa) {
			fmt.Printf("- %s takes no part: nothing holds it to %v\n", p.name, isa)
			continue
		}
		version, err := p.load()
		if err != nil {
			fmt.Printf("- %s is missing: %v. To get it: %s\n", p.name, err, p.install)
			continue
		}
		loaded[p] = true
		fmt.Printf("- %s %s\n", p.name, strings.TrimPrefix(version, p.name+" "))
	}
	return loaded, nil
}

// fold is a name as it is typed: "ONNX Runtime" is onnxruntime.
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }

// choose returns the kinds that are named, the first where none is.
func choose(names []string) (chosen []kind, err error) {
	for _, name := range names {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no kind %q", name)
		}
		chosen = append(chosen, kinds[i])
	}
	if chosen == nil {
		chosen = kinds[:1]
	}
	return chosen, nil
}

// defaultWorkers is one and all.
func defaultWorkers() string {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return fmt.Sprintf("1,%d", n)
	}
	return "1"
}

func parseWorkers(list string) (counts []int, err error) {
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of threads", word)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

func parseISAs(list string) (isas []kernels.ISA, err error) {
	if list == "" {
		set, err := kernels.Default()
		if err != nil {
			return nil, err
		}
		return []kernels.ISA{set.ISA}, nil
	}
	for _, word := range strings.Split(list, ",") {
		isa, err := kernels.ParseISA(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		if _, err := kernels.Lookup(isa); err != nil {
			return nil, err
		}
		isas = append(isas, isa)
	}
	return isas, nil
}

// moduleVersion is the version of a module that this program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "of an unknown version"
}
