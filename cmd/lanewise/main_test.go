package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/models/emoji"
)

// asCommand makes the test binary the command itself.
const asCommand = "LANEWISE_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// A process that is told to stop stops, and leaves no file.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent an interrupt")
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "generate", "star", "-n", "10000", "--steps", "1", "--scale", "1", "--guidance", "1")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asCommand+"=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stderr)
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "picture 1 of 10000") {
		t.Errorf("%q (%v)", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !strings.HasSuffix(string(rest), "lanewise: interrupted; nothing was written\n") {
		t.Errorf("%q (%v)", rest, err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("%v, want exit code 130", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("the directory holds %s", got)
	}
}

func TestAbout(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"info"}, []string{"lanewise ", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, "kernels", "available: ", "generic", "workers", "caches", "features"}},
		{[]string{"notice"}, []string{emoji.Notice}},
		{[]string{"styles"}, []string{"noto, blob, twemoji, flat, fluent, all, none\n", "red heart", "yellow heart"}},
		{[]string{"samplers"}, []string{"the model's is ddim:", "\n  ddim             first order", "\n  tcd  ", "the model's is trailing:", "\n  leading      times",
			"\n  log-linear  ", "\n  pndm: leading, linspace, trailing\n  lcm, tcd: none"}},
		{[]string{}, []string{"generate", "info", "notice", "samplers", "styles", `lanewise generate "red heart"`}},
		{[]string{"generate", "--help"}, []string{"--style", "--seed", "--steps", "--guidance", "--sampler", "--schedule", "see lanewise samplers", "-n, --number", "--scale", "--styles", "--interpolate", "--frames", "--mix", "--negative", "--from", "--strength", "--rescale", "--interval", "--labels", "--workers", "--conv algorithm", "winograd2, winograd4", "--accuracy bound", "-o, --output", "--profile", "--quiet"}},
	} {
		code, stdout, stderr := lanewise(t, t.TempDir(), c.args...)
		if code != 0 || stderr != "" {
			t.Errorf("%q: exit code %d: %s", c.args, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%q: %q does not say %q", c.args, stdout, want)
			}
		}
	}
	for _, args := range [][]string{{"paint"}, {"info", "more"}, {"notice", "more"}, {"styles", "more"}, {"samplers", "more"}, {"info", "--what"}} {
		if code, _, stderr := lanewise(t, t.TempDir(), args...); code != 1 || !strings.HasPrefix(stderr, "lanewise: unknown ") {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
	}
}
