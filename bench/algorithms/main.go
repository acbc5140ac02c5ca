// Command algorithms measures every way to compute a convolution beside the direct one, in turns in
// one process. conv's choice is made of what it prints.
//
//	go run ./bench/algorithms [-isa avx512,avx2] [-workers 1,2] [-match 'k3 s1'] [-csv all.csv] [conv] [upsample] [grid]
//
// conv and upsample are the shapes of bench/shapes; grid is 3×3 convolutions of 32 to 1280 channels on images
// of 4×4 to 256×256 pixels, without those whose direct sum takes more than -most GFLOP.
//
// A cell holds GFLOP/s, counted as of the direct sum, and how many times as fast as the direct algorithm that is: the
// median of the ratios within a round. Weights transformed anew by every call are the columns that end in
// -unstored. Every result is compared with the direct one's before it is timed.
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("algorithms: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	isas := flag.String("isa", "", "instruction sets, a `list`; by default the best")
	workers := flag.String("workers", strconv.Itoa(runtime.GOMAXPROCS(0)), "numbers of workers, a `list`")
	rounds := flag.Int("rounds", 5, "in each of which every algorithm runs for a burst")
	burst := flag.Duration("burst", 40*time.Millisecond, "how long, at least one run")
	match := flag.String("match", "", "only shapes that match a regular `expression`")
	most := flag.Float64("most", 130, "GFLOP of a shape of the grid")
	csvFile := flag.String("csv", "", "a `file` for the figures of every algorithm")
	flag.Parse()

	only, err := regexp.Compile(*match)
	if err != nil {
		return fmt.Errorf("-match: %w", err)
	}
	var layers []measure.Conv
	kinds := flag.Args()
	if len(kinds) == 0 {
		kinds = []string{"conv", "upsample"}
	}
	for _, kind := range kinds {
		some := grid(1e9 * *most)
		if kind != "grid" {
			if some, err = measure.Convs(shapes.Files, kind); err != nil {
				return err
			}
		}
		for _, c := range some {
			if only.MatchString(c.String()) {
				layers = append(layers, c)
			}
		}
	}
	b := &bench{out: os.Stdout, rounds: *rounds, burst: *burst, packed: map[weights]*conv.Packed{}}
	if b.rounds < 1 || len(layers) == 0 {
		return fmt.Errorf("%d rounds of %d shapes", b.rounds, len(layers))
	}
	if err := b.start(*isas, *workers); err != nil {
		return err
	}
	if *csvFile != "" {
		f, err := os.Create(*csvFile)
		if err != nil {
			return err
		}
		defer f.Close()
		b.csv = csv.NewWriter(f)
		if err := b.csv.Write(csvHead); err != nil {
			return err
		}
	}
	return b.table(layers)
}

// grid is square images and weights of powers of two, and of what U-Nets have: the weights change last.
func grid(most float64) (layers []measure.Conv) {
	for _, channels := range []int{32, 64, 128, 320, 640, 1280} {
		for _, side := range []int{4, 8, 16, 32, 64, 128, 256} {
			for _, n := range []int{1, 2} {
				c := measure.Conv{N: n, H: side, W: side, In: channels, Out: channels, Geometry: conv.Same(3)}
				if c.FLOP() <= most {
					layers = append(layers, c)
				}
			}
		}
	}
	return layers
}

// bench is what the rows share.
type bench struct {
	out     io.Writer
	rounds  int
	burst   time.Duration
	engines []*machine
	packed  map[weights]*conv.Packed // of the last layer's shape
	csv     *csv.Writer              // nil for none
}

// machine is an engine and its peak.
type machine struct {
	*engine.Engine
	peak *measure.Peak
}

// weights tells apart what is laid out for one instruction set and plan.
type weights struct {
	isa     kernels.ISA
	in, out int
	g       conv.Geometry
	plan    conv.Plan
}

// start makes an engine for every instruction set and number of workers.
func (b *bench) start(isas, workers string) error {
	var sets []*kernels.Set
	if isas == "" {
		set, err := kernels.Default()
		if err != nil {
			return err
		}
		sets = append(sets, set)
	} else {
		for _, name := range strings.Split(isas, ",") {
			isa, err := kernels.ParseISA(name)
			if err != nil {
				return err
			}
			set, err := kernels.Lookup(isa)
			if err != nil {
				return err
			}
			sets = append(sets, set)
		}
	}
	for _, set := range sets {
		for _, word := range strings.Split(workers, ",") {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return fmt.Errorf("-workers: %q is no number of workers", word)
			}
			e, err := engine.New(engine.Options{Set: set, Workers: n})
			if err != nil {
				return err
			}
			b.engines = append(b.engines, &machine{Engine: e, peak: measure.NewPeak(e)})
		}
	}
	return nil
}

// table measures layers and prints a row for each on each engine.
func (b *bench) table(layers []measure.Conv) error {
	columns := layers[0].Plans()
	for _, c := range layers[1:] {
		for _, plan := range c.Plans() {
			if !slices.Contains(columns, plan) {
				columns = append(columns, plan)
			}
		}
	}
	head, rule := []string{pad("shape", 28), "isa", "workers", "direct", "% peak"}, ""
	for _, plan := range columns[1:] {
		head = append(head, plan.String())
	}
	head = append(head, "fastest")
	for range head {
		rule += "| --- "
	}
	fmt.Fprintf(b.out, "| %s |\n%s|\n", strings.Join(head, " | "), rule)
	for _, c := range layers {
		for _, m := range b.engines {
			if err := b.row(c, m, columns); err != nil {
				return err
			}
		}
	}
	return nil
}

// tolerance is how far a result may lie from the direct one, beside the largest value: F(6×6, 3×3) of 1280
// channels comes to 5·10⁻⁵.
const tolerance = 1e-4

// row measures a layer on an engine and prints the row.
func (b *bench) row(c measure.Conv, m *machine, columns []conv.Plan) error {
	plans, images := c.Plans(), c.Images()
	var runners []func()
	var want []float32
	for _, plan := range plans {
		p := b.weights(c, m, plan)
		images.Apply(m.Engine, p)
		if want == nil {
			want = slices.Clone(images.Dst.Data)
		}
		if d := measure.Distance(images.Dst.Data, want); !(d <= tolerance) {
			return fmt.Errorf("%v, %v: %v is off by %.2g of the largest value", c, m.Set().ISA, plan, d)
		}
		runners = append(runners, func() { images.Apply(m.Engine, p) })
	}
	runtime.GC()
	peaks := make([][]float64, len(plans))
	times := measure.Rounds(b.rounds, b.burst, runners, func(i int) { peaks[i] = append(peaks[i], m.peak.Rate()) })

	cells := make([]string, len(columns))
	fastest, least := plans[0], measure.Median(times[0])
	var share float64 // of the peak, by the direct algorithm
	for i, plan := range plans {
		rates := make([]float64, b.rounds)
		for round, ns := range times[i] {
			rates[round] = c.FLOP() / ns
		}
		rate, ratio, peak := measure.Median(rates), measure.Ratio(times[0], times[i]), 100*measure.Ratio(rates, peaks[i])
		cell := fmt.Sprintf("%.0f", rate)
		if i == 0 {
			share = peak
		} else {
			cell += fmt.Sprintf(" ×%.2f", ratio)
		}
		cells[slices.Index(columns, plan)] = cell
		if ns := measure.Median(times[i]); ns < least {
			fastest, least = plan, ns
		}
		if err := b.write(c, m, plan, rates, peak, ratio); err != nil {
			return err
		}
	}
	for i := range cells {
		if cells[i] == "" {
			cells[i] = "–"
		}
	}
	head := []string{pad(c.String(), 28), m.Set().ISA.String(), strconv.Itoa(m.Workers()), cells[0], fmt.Sprintf("%.0f", share)}
	fmt.Fprintf(b.out, "| %s |\n", strings.Join(slices.Concat(head, cells[1:], []string{fastest.String()}), " | "))
	return nil
}

var csvHead = []string{"n", "h", "w", "in", "out", "k", "stride", "upsample", "isa", "workers", "plan", "median", "lowest", "highest", "% peak", "ratio"}

// write writes the CSV's line of a plan: GFLOP/s, and what they are beside the direct ones.
func (b *bench) write(c measure.Conv, m *machine, plan conv.Plan, rates []float64, peak, ratio float64) error {
	if b.csv == nil {
		return nil
	}
	var line []string
	for _, n := range []int{c.N, c.H, c.W, c.In, c.Out, c.Geometry.KH, c.Geometry.Stride} {
		line = append(line, strconv.Itoa(n))
	}
	line = append(line, strconv.FormatBool(c.Geometry.Upsample), m.Set().ISA.String(), strconv.Itoa(m.Workers()), plan.String())
	for _, v := range []float64{measure.Median(rates), slices.Min(rates), slices.Max(rates), peak, ratio} {
		line = append(line, fmt.Sprintf("%.4g", v))
	}
	if err := b.csv.Write(line); err != nil {
		return err
	}
	b.csv.Flush()
	return b.csv.Error()
}

// weights returns the layer's weights for an engine and a plan: those of the layer before where they are of
// its shape.
func (b *bench) weights(c measure.Conv, m *machine, plan conv.Plan) *conv.Packed {
	key := weights{m.Set().ISA, c.In, c.Out, c.Geometry, plan}
	if p := b.packed[key]; p != nil {
		return p
	}
	for other := range b.packed {
		if other.in != key.in || other.out != key.out || other.g != key.g {
			delete(b.packed, other)
		}
	}
	direct := key
	direct.plan = conv.Plan{Algorithm: conv.Direct}
	if b.packed[direct] == nil {
		b.packed[direct] = c.Pack(m.Engine)
	}
	b.packed[key] = b.packed[direct].With(m.Engine, plan)
	return b.packed[key]
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
