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
	"time"

	"github.com/lanewise/lanewise/kernels"
)

// pyTorch is a process of Python's that runs what it is told while everybody else sleeps. What it takes to tell it, some
// 50 µs, is little beside a burst.
var pyTorch = &peer{
	name:    "PyTorch",
	install: "Debian 12: apt install python3-torch; LANEWISE_PYTHON=…/python3 names another interpreter that has torch",
	load: func() (version string, err error) {
		interpreters := []string{"python3", "/usr/bin/python3"}
		if path := os.Getenv("LANEWISE_PYTHON"); path != "" {
			interpreters = []string{path}
		}
		for _, path := range interpreters {
			if torch, version, err = startTorch(path); err == nil {
				return version, nil
			}
		}
		return "", err
	},
	hold: map[kernels.ISA][]string{kernels.AVX2: {"ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "OPENBLAS_CORETYPE=Haswell"}},
}

//go:embed pytorch.py
var torchScript string

// torch is the process, nil where there is none. It ends when its input does, with this program.
var torch *torchProcess

type torchProcess struct {
	to     io.Writer
	from   *bufio.Reader
	opened int // calls
}

// startTorch starts an interpreter and returns what version of torch it has.
func startTorch(path string) (p *torchProcess, version string, err error) {
	command := exec.Command(path, "-c", torchScript)
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

// torchTime is the processor time of all its threads.
func torchTime() time.Duration {
	if torch == nil {
		return 0
	}
	r, err := torch.ask(torchCall{Do: "time"})
	if err != nil {
		return 0
	}
	return time.Duration(r.Seconds * float64(time.Second))
}

// torchRun is one of the calls that it has open.
type torchRun struct {
	number, size int
	restore      func([]float32) []float32 // the output in Lanewise's layout; nil where it is
}

// newTorch opens a call with a result of size values.
func newTorch(c torchCall, size int, operands ...[]float32) (*torchRun, error) {
	torch.opened++
	c.Do, c.Number = "open", torch.opened
	for _, o := range operands {
		c.Sizes = append(c.Sizes, len(o))
	}
	if _, err := torch.ask(c, operands...); err != nil {
		return nil, err
	}
	return &torchRun{number: c.Number, size: size}, nil
}

func (t *torchRun) Run(times int) error {
	_, err := torch.ask(torchCall{Do: "run", Number: t.number, Times: times})
	return err
}

func (t *torchRun) Output() ([]float32, error) {
	r, err := torch.ask(torchCall{Do: "output", Number: t.number})
	if err != nil {
		return nil, err
	}
	bytes, values := make([]byte, 4*r.Size), make([]float32, r.Size)
	if _, err := io.ReadFull(torch.from, bytes); err != nil {
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
func (t *torchRun) Close() { torch.ask(torchCall{Do: "close", Number: t.number}) }
