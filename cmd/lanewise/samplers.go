package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
)

func newSamplers() *cobra.Command {
	return &cobra.Command{
		Use:   "samplers",
		Short: "List the samplers and the schedules that generate can go by",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := engine.New(engine.Options{Workers: 1})
			if err != nil {
				return err
			}
			defer e.Close()
			m, err := emoji.Load(e)
			if err != nil {
				return err
			}
			return writeSamplers(cmd.OutOrStdout(), m)
		},
	}
}

// writeSamplers lists a model's samplers, the schedules, and which sampler follows which.
func writeSamplers(w io.Writer, m *pipeline.TextStyle) error {
	fmt.Fprintf(w, "Samplers (--sampler), the ways to make a step; the model's is %s:\n", m.Sampler)
	if err := writeTable(w, m.Samplers(), sampler.About); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nSchedules (--schedule), the ways to spread steps over the noise; the model's is %s:\n", m.Schedule)
	if err := writeTable(w, sampler.ScheduleNames(), sampler.AboutSchedule); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nEvery sampler follows every schedule, but for\n%s", exceptions(m))
	return err
}

// writeTable writes names and what is said of them.
func writeTable(w io.Writer, names []string, about func(name string) string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range names {
		fmt.Fprintf(table, "  %s\t%s\n", name, about(name))
	}
	return table.Flush()
}

// exceptions lists the samplers that do not follow all schedules, those of the same ones in a line.
func exceptions(m *pipeline.TextStyle) string {
	var lines []string
	samplers := make(map[string][]string) // by what is said of them
	for _, name := range m.Samplers() {
		follows := m.Schedules(name)
		if slices.Equal(follows, sampler.ScheduleNames()) {
			continue
		}
		what := strings.Join(follows, ", ")
		if what == "" {
			what = "none, as their steps are among those that a model was distilled at"
		}
		if samplers[what] == nil {
			lines = append(lines, what)
		}
		samplers[what] = append(samplers[what], name)
	}
	var b strings.Builder
	for _, what := range lines {
		fmt.Fprintf(&b, "  %s: %s\n", strings.Join(samplers[what], ", "), what)
	}
	return b.String()
}
