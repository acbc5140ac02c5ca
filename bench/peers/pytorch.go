package main

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/lanewise/lanewise/kernels"
)

// pyTorch is processes of Python's that run what they are told while everybody else sleeps. What it takes to tell them,
// some 50 µs, is little beside a burst.
var pyTorch = &peer{
	name:    "PyTorch",
	install: "Debian 12: apt install python3-torch; LANEWISE_PYTHON=…/python3 names another interpreter that has torch",
	load: func() (version string, err error) {
		interpreters := []string{"python3", "/usr/bin/python3"}
		if path := os.Getenv("LANEWISE_PYTHON"); path != "" {
			interpreters = []string{path}
		}
		for _, path := range interpreters {
			if version, err = startTorches(path); err == nil {
				return version, nil
			}
		}
		return "", err
	},
	hold: map[kernels.ISA][]string{kernels.AVX2: {"ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "OPENBLAS_CORETYPE=Haswell"}},
}

//go:embed pytorch.py
var torchScript string

// torchWaits are the ways in which the threads of OpenMP, which PyTorch computes with, may wait for each other: spinning, where
// two on one core would stop each other, or asleep. Either is the faster for some shapes.
var torchWaits = []struct {
	variant     string
	environment []string
}{
	{"spinning", []string{"OMP_PROC_BIND=true", "OMP_PLACES=cores"}},
	{"asleep", []string{"OMP_WAIT_POLICY=passive"}},
}

// torches are the processes, one for each way to wait; none where there is no torch. They end when their input does,
// with this program.
var torches []*torchProcess

type torchProcess struct {
	to     io.Writer
	from   *bufio.Reader
	opened int // calls
}

// startTorches starts the processes and returns what version of torch they have.
func startTorches(path string) (version string, err error) {
	torches = nil
	for _, w := range torchWaits {
		var p *torchProcess
		if p, version, err = startTorch(path, w.environment); err != nil {
			return "", err
		}
		torches = append(torches, p)
	}
	return version, nil
}

// startTorch starts an interpreter and returns what version of torch it has.
func startTorch(path string, environment []string) (p *torchProcess, version string, err error) {
	command := exec.Command(path, "-c", torchScript)
	command.Env = append(os.Environ(), environment...)
	to, err := command.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	from, err := command.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := command.Start(); err != nil {
		return nil, "", err
	}
	p = &torchProcess{to: to, from: bufio.NewReader(from)}
	var hello torchReply
	if err := p.read(&hello); err != nil {
		to.Close()
		command.Wait()
		return nil, "", fmt.Errorf("%s has no torch", path)
	}
	return p, hello.Version, nil
}

// torchCall is what pytorch.py is asked for; which fields count depends on Do and Op.
type torchCall struct {
	Do      string `json:"do"`
	Number  int    `json:"number"`
	Op      string `json:"op"`
	Sizes   []int  `json:"sizes"` // of the operands that follow
	Threads int    `json:"threads"`
	Times   int    `json:"times"`

	Batch   int       `json:"batch"` // images · heads
	Queries int       `json:"queries"`
	Keys    []int     `json:"keys"` // of each context
	Weights []float32 `json:"weights"`
	Size    int       `json:"size"`
	Mask    int       `json:"mask"` // its rows
	Scale   float32   `json:"scale"`

	Height   int     `json:"height"`
	Width    int     `json:"width"`
	Channels int     `json:"channels"`
	Groups   int     `json:"groups"`
	Eps      float64 `json:"eps"`
	Last     bool    `json:"last"` // channels
	SiLU     bool    `json:"silu"`
	Ada      bool    `json:"ada"`
}

// torchReply is what it answers.
type torchReply struct {
	Version string  `json:"version"`
	Seconds float64 `json:"seconds"`
	Size    int     `json:"size"` // of the values that follow
}

// ask sends a request and its operands, and waits for the answer.
func (p *torchProcess) ask(c torchCall, operands ...[]float32) (r torchReply, err error) {
	line, err := json.Marshal(c)
	if err != nil {
		return r, err
	}
	if _, err := p.to.Write(append(line, '\n')); err != nil {
		return r, err
	}
	for _, o := range operands {
		bytes := make([]byte, 0, 4*len(o))
		for _, v := range o {
			bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
		}
		if _, err := p.to.Write(bytes); err != nil {
			return r, err
		}
	}
	return r, p.read(&r)
}

func (p *torchProcess) read(r *torchReply) error {
	line, err := p.from.ReadBytes('\n')
	if err != nil {
		return errors.New("PyTorch ended; what it wrote last is above")
	}
	return json.Unmarshal(line, r)
}

// torchTime is the processor time of all their threads.
func torchTime() (t time.Duration) {
	for _, p := range torches {
		r, err := p.ask(torchCall{Do: "time"})
		if err != nil {
			return 0
		}
		t += time.Duration(r.Seconds * float64(time.Second))
	}
	return t
}

// torchRun is one of the calls that a process has open.
type torchRun struct {
	torch        *torchProcess
	number, size int
	restore      func([]float32) []float32 // the output in Lanewise's layout; nil where it is
}

// torch enters a call of PyTorch's, for each way to wait where there is somebody to wait for.
func (r *race) torch(variant string, c torchCall, size int, restore func([]float32) []float32, operands ...[]float32) {
	c.Threads = r.workers
	for i, w := range torchWaits[:min(r.workers, len(torchWaits))] {
		r.add(pyTorch, strings.TrimPrefix(variant+", "+w.variant, ", "), func() (contender, error) {
			return torches[i].open(c, size, restore, operands)
		})
	}
}

// open makes a call with a result of size values.
func (p *torchProcess) open(c torchCall, size int, restore func([]float32) []float32, operands [][]float32) (contender, error) {
	p.opened++
	c.Do, c.Number = "open", p.opened
	for _, o := range operands {
		c.Sizes = append(c.Sizes, len(o))
	}
	if _, err := p.ask(c, operands...); err != nil {
		return nil, err
	}
	return &torchRun{p, c.Number, size, restore}, nil
}

func (t *torchRun) Run(times int) error {
	_, err := t.torch.ask(torchCall{Do: "run", Number: t.number, Times: times})
	return err
}

func (t *torchRun) Output() ([]float32, error) {
	r, err := t.torch.ask(torchCall{Do: "output", Number: t.number})
	if err != nil {
		return nil, err
	}
	bytes, values := make([]byte, 4*r.Size), make([]float32, r.Size)
	if _, err := io.ReadFull(t.torch.from, bytes); err != nil {
		return nil, err
	}
	if len(values) != t.size {
		return nil, fmt.Errorf("PyTorch: %d values, want %d", len(values), t.size)
	}
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:]))
	}
	if t.restore != nil {
		values = t.restore(values)
	}
	return values, nil
}

// Close forgets the call. What may go wrong is that the process is gone, and the call with it.
func (t *torchRun) Close() { t.torch.ask(torchCall{Do: "close", Number: t.number}) }
