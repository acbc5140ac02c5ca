// Command lanewise makes pictures from text on the CPU.
//
// See lanewise help for what it can do; README.md of this repository begins with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes besides 0.
const (
	exitError       = 1
	exitInterrupted = 128 + 2 // as a shell reports SIGINT
)

// run is the command with arguments args; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "lanewise: interrupted; nothing was written")
		return exitInterrupted
	default:
		fmt.Fprintln(stderr, "lanewise:", err)
		return exitError
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "lanewise",
		Short: "Pictures from text, on the CPU",
		Long: `Lanewise runs conditional diffusion models on the CPU: pure Go, with its inner loops in assembly.

A small model that draws emoji is built in:

  lanewise generate "red heart"`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(newGenerate(), newStyles(), newSamplers(), newInfo(), newNotice())
	return root
}
