// Command memory shows how much memory attention takes beside its operands, which is the workers' scratch and does
// not grow with the number of tokens: the scores, of which there are heads·tokens², are nowhere.
//
//	go run ./bench/memory [flags]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// shape is self-attention over so many tokens.
type shape struct{ heads, tokens, size int }

func (s shape) String() string {
	plural := "s"
	if s.heads == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d head%s %d×%d d%d", s.heads, plural, s.tokens, s.tokens, s.size)
}

// operands is the bytes of q, k, v and the result.
func (s shape) operands() int { return 4 * 4 * s.tokens * s.heads * s.size }

// scores is the bytes that the scores of all heads would take.
func (s shape) scores() int { return 4 * s.heads * s.tokens * s.tokens }

// flop is the operations of both products.
func (s shape) flop() float64 {
	return 4 * float64(s.heads*s.size) * float64(s.tokens) * float64(s.tokens)
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	workers := flag.String("workers", "1,2", "how many workers, `a list`: a row for each")
	tokens := flag.String("tokens", "4096,16384", "how many tokens, `a list`")
	flag.Parse()
	counts, err := numbers(*workers)
	if err != nil {
		return fmt.Errorf("-workers: %w", err)
	}
	lengths, err := numbers(*tokens)
	if err != nil {
		return fmt.Errorf("-tokens: %w", err)
	}
	fmt.Fprint(w, "Megabytes: of q, k, v and the result; of the process at its peak, and by how much more than before the call; of all scores, which nobody keeps.\n\n")
	fmt.Fprint(w, "| attention | workers | operands | peak | beyond | scores | GFLOP/s |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, head := range []shape{{heads: 8, size: 64}, {heads: 1, size: 512}} {
		for _, n := range lengths {
			head.tokens = n
			for _, count := range counts {
				m, err := head.measure(count)
				if err != nil {
					return err
				}
				peak, beyond := "not known here", "not known here"
				if m.known {
					peak, beyond = fmt.Sprintf("%.1f", megabytes(m.peak)), fmt.Sprintf("%.1f", megabytes(m.beyond))
				}
				fmt.Fprintf(w, "| %v | %d | %.1f | %s | %s | %.0f | %.0f |\n",
					head, count, megabytes(head.operands()), peak, beyond, megabytes(head.scores()), head.flop()/float64(m.time.Nanoseconds()))
			}
		}
	}
	return nil
}

// numbers reads positive ones between commas.
func numbers(list string) (all []int, err error) {
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no positive number", word)
		}
		all = append(all, n)
	}
	return all, nil
}

func megabytes(bytes int) float64 { return float64(bytes) / 1e6 }

// measured is what one call took.
type measured struct {
	peak, beyond int // bytes: at most, and by how much more than before
	known        bool
	time         time.Duration
}

// measure attends once on a new engine, which has no scratch before.
func (s shape) measure(workers int) (m measured, err error) {
	e, err := engine.New(engine.Options{Workers: workers})
	if err != nil {
		return m, err
	}
	defer e.Close()
	matrix := func(seed uint32) tensor.Mat {
		return tensor.Mat{Rows: s.tokens, Cols: s.heads * s.size, Stride: s.heads * s.size, Data: measure.Random(seed, s.tokens*s.heads*s.size)}
	}
	dst, q, kv := matrix(1), matrix(2), []attention.KV{{K: matrix(3), V: matrix(4)}} // written, so that all of it is there
	runtime.GC()
	debug.FreeOSMemory()
	before, known := residentBefore()
	start := time.Now()
	attention.Attend(e, dst, q, kv, attention.Shape{Batch: 1, Heads: s.heads})
	m.time = time.Since(start)
	m.peak, m.known = residentPeak()
	m.known = m.known && known
	m.beyond = m.peak - before
	runtime.KeepAlive(kv)
	return m, nil
}
