// Command layers times every convolution of a U-Net where it stands, under several options of a session, beside the
// first:
//
//	go run ./bench/layers [-size 64] [-workers 2] [-rounds 5] [-match conv1] [-options direct,auto,winograd2,winograd4,winograd4:0]
//
// An option is an algorithm that is forced wherever it fits, or auto, and the megabytes of transformed weights that
// may be kept, where a number follows. The model has Stable Diffusion 1.5's shape, and weights of 16 bits that are all
// zero. Its layers find their weights in no cache, unlike those that a benchmark runs again and again: what it costs
// to read transformed weights from memory, or to make them, shows here. It takes 4 GB of memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

const (
	modelConfig = `{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "attention_head_dim": 8,
		"down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
		"block_out_channels": [320, 640, 1280, 1280]}`
	words, width = 77, 768 // of a prompt
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("layers: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	size := flag.Int("size", 64, "rows and columns of the latents")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "goroutines of the engine")
	rounds := flag.Int("rounds", 5, "in each of which a session of each option runs once")
	match := flag.String("match", "", "only layers that match a regular `expression`")
	list := flag.String("options", "direct,auto,winograd2,winograd4,winograd4:0", "algorithms with or without megabytes to keep, a `list`")
	flag.Parse()
	only, err := regexp.Compile(*match)
	if err != nil {
		return fmt.Errorf("-match: %w", err)
	}
	options, err := parseOptions(*list)
	if err != nil {
		return fmt.Errorf("-options: %w", err)
	}
	e, err := engine.New(engine.Options{Workers: *workers})
	if err != nil {
		return err
	}
	defer e.Close()
	m, err := load(e)
	if err != nil {
		return err
	}
	var forwards []func() (program.Profile, error)
	for _, o := range options {
		forward, kept, err := session(m, *size, o.conv)
		if err != nil {
			return err
		}
		forwards = append(forwards, forward)
		fmt.Printf("%s: %d MB of transformed weights\n", o.name, kept>>20)
	}
	var samples []program.Profile // of a round and an option
	for range *rounds {
		for _, forward := range forwards {
			p, err := forward()
			if err != nil {
				return err
			}
			samples = append(samples, p)
		}
	}
	write(os.Stdout, options, samples, only)
	return nil
}

// option is what a session is made with, and its name.
type option struct {
	name string
	conv conv.Options
}

// parseOptions reads a list of algorithms, each with the megabytes that it may keep or without.
func parseOptions(list string) (options []option, err error) {
	for _, name := range strings.Split(list, ",") {
		o := option{name: name}
		algorithm, room, limited := strings.Cut(name, ":")
		if err := o.conv.Algorithm.UnmarshalText([]byte(algorithm)); err != nil {
			return nil, err
		}
		if limited {
			megabytes, err := strconv.ParseUint(room, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q: %q is no number of megabytes", name, room)
			}
			if o.conv.Memory = int64(megabytes) << 20; megabytes == 0 {
				o.conv.Memory = -1
			}
		}
		options = append(options, o)
	}
	return options, nil
}

// load returns the model.
func load(e *engine.Engine) (m *unet.Model, err error) {
	dir, err := os.MkdirTemp("", "layers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	_, err = modeltest.Sparse(dir, modelConfig, "diffusion_pytorch_model", func(fsys fs.FS) error {
		m, err = unet.Load(e, fsys)
		return err
	})
	return m, err
}

// session returns a forward pass of the model with options, and how many bytes its weights take besides the
// model's. It has run once.
func session(m *unet.Model, size int, o conv.Options) (forward func() (program.Profile, error), kept int, err error) {
	s, err := m.Session(1, size, size, unet.Options{Conv: o})
	if err != nil {
		return nil, 0, err
	}
	b, err := s.Bind(cond.Text(tensor.MakeMat(words, width)))
	if err != nil {
		return nil, 0, err
	}
	x, out := tensor.Make(1, size, size, m.Config.InChannels), tensor.Make(1, size, size, m.Config.OutChannels)
	forward = func() (program.Profile, error) {
		s.Program().Measure(true)
		err := b.Forward(context.Background(), out, x, 1)
		return s.Program().Profile(), err
	}
	_, err = forward()
	return forward, s.Program().Kept(), err
}

// write prints a row for each convolution and one for all ops: what each option took, and how many times as fast as
// the first it was, medians over rounds. samples are round by round, and in each option by option.
func write(w io.Writer, options []option, samples []program.Profile, only *regexp.Regexp) {
	fmt.Fprint(w, "\n| layer | GFLOP |")
	for _, o := range options {
		fmt.Fprintf(w, " %s, ms | |", o.name)
	}
	fmt.Fprintf(w, "\n| --- | --- |%s\n", strings.Repeat(" --- | --- |", len(options)))
	row := func(name string, of func(p program.Profile) program.Sample) {
		fmt.Fprintf(w, "| %s | %.2f |", name, of(samples[0]).Cost.FLOP/1e9)
		for i := range options {
			var times, ratios []float64
			var how string
			for at := 0; at < len(samples); at += len(options) {
				s := of(samples[at+i])
				times = append(times, s.Time.Seconds()*1e3)
				ratios = append(ratios, of(samples[at]).Time.Seconds()/max(s.Time, time.Nanosecond).Seconds())
				how = s.How
			}
			fmt.Fprintf(w, " %.2f ×%.2f | %s |", median(times), median(ratios), how)
		}
		fmt.Fprintln(w)
	}
	for _, op := range samples[0] {
		if op.Kind != "conv" || !only.MatchString(op.Name) {
			continue
		}
		row(op.Name, func(p program.Profile) program.Sample {
			return p[slices.IndexFunc(p, func(s program.Sample) bool { return s.Kind == "conv" && s.Name == op.Name })]
		})
	}
	row("all", program.Profile.Total)
}

// median of values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return (values[len(values)/2] + values[(len(values)-1)/2]) / 2
}
