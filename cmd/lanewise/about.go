package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
)

func newNotice() *cobra.Command {
	return &cobra.Command{
		Use:   "notice",
		Short: "Print whose drawings the built-in model learned from, and their licences",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), emoji.Notice)
			return err
		},
	}
}

func newStyles() *cobra.Command {
	return &cobra.Command{
		Use:   "styles",
		Short: "List the styles of the built-in model, and what it can draw",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			index, err := pipeline.ReadIndex(emoji.Files())
			if err != nil {
				return err
			}
			concepts, err := emoji.Concepts()
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "Styles (--style):\n%s\n", wrap(append(index.Styles, allStyles, noStyle)))
			_, err = fmt.Fprintf(w, "What it draws best:\n%s\nColors combine with nearly everything: \"blue apple\".\n", wrap(concepts))
			return err
		},
	}
}

// wrap puts words beside each other, separated by commas, in lines of up to 78 bytes.
func wrap(words []string) string {
	var b strings.Builder
	line := "  "
	for i, word := range words {
		if i < len(words)-1 {
			word += ","
		}
		if len(line)+len(word) > 78 {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = "  "
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}
