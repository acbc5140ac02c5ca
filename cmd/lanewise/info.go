package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/klauspost/cpuid/v2"
	"github.com/spf13/cobra"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

func newInfo() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Print version, machine and kernels, for bug reports",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return info(cmd.OutOrStdout()) },
	}
}

// info writes a table of what decides results and speed.
func info(w io.Writer) error {
	e, err := engine.New(engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(table, name+"\t"+format+"\n", args...) }

	row("lanewise", "%s", version())
	row("go", "%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	row("cpu", "%s (family %d, model %d)", known(cpuid.CPU.BrandName), cpuid.CPU.Family, cpuid.CPU.Model)
	row("cores", "%d physical, %d logical, %d usable", cpuid.CPU.PhysicalCores, cpuid.CPU.LogicalCores, runtime.GOMAXPROCS(0))
	row("caches", "L1d %s, L2 %s, L3 %s", size(cpuid.CPU.Cache.L1D), size(cpuid.CPU.Cache.L2), size(cpuid.CPU.Cache.L3))
	row("features", "%s", known(strings.Join(kernels.Features(), " ")))
	var available []string
	for _, set := range kernels.Available() {
		available = append(available, set.ISA.String())
	}
	row("kernels", "%v (available: %s)", e.Set().ISA, strings.Join(available, ", "))
	row("workers", "%d", e.Workers())
	return table.Flush()
}

// version returns the version of the module that the command was built from, and its commit.
func version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "of an unknown build"
	}
	version := build.Main.Version
	var commit, changed string
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				changed = ", changed since"
			}
		}
	}
	if version == "" {
		version = "(devel)"
	}
	if commit != "" {
		version += " (commit " + commit + changed + ")"
	}
	return version
}

// size formats a cache size in bytes, -1 where it is not known.
func size(bytes int) string {
	switch {
	case bytes <= 0:
		return "unknown"
	case bytes < 1<<20:
		return fmt.Sprintf("%d KiB", bytes>>10)
	default:
		return fmt.Sprintf("%.4g MiB", float64(bytes)/(1<<20))
	}
}

// known returns s, or a word for nothing.
func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
