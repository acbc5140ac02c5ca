// Package emoji is a small diffusion model that draws emoji from a few words, in one of five
// styles. It is embedded in the program that imports this package; README.md beside this file
// says what it can do and how it was made.
//
// The model was trained on drawings by others: a program that has this package should be able to
// show Notice.
package emoji

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/pipeline"
)

// Notice says whose drawings the model learned from, and under which licences.
//
//go:embed NOTICE.md
var Notice string

//go:embed model
var files embed.FS

// Files returns the model's directory, as diffusers lays it out.
func Files() fs.FS {
	dir, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // the name is valid
	}
	return dir
}

// Load makes the model ready to run on e.
func Load(e *engine.Engine) (*pipeline.TextStyle, error) {
	return pipeline.LoadTextStyle(e, Files())
}

// Concepts returns the names of what the model draws best.
func Concepts() ([]string, error) {
	const name = "training.json"
	data, err := fs.ReadFile(Files(), name)
	if err != nil {
		return nil, fmt.Errorf("emoji: %w", err)
	}
	var training struct {
		Focus []string `json:"focus_concepts"`
	}
	if err := json.Unmarshal(data, &training); err != nil {
		return nil, fmt.Errorf("emoji: %s: %w", name, err)
	}
	return training.Focus, nil
}
