// Command figures draws the pictures of docs/samplers.md:
//
//	cd bench/figures && go run . [-docs ../../docs] [measure] [sheet] [draw]
//
// measure runs the embedded model with every method and schedule, and writes how far the pictures are from
// those of a thousand steps as samplers-distance.csv: ten minutes on two cores. sheet makes the same pictures by
// several methods in a few steps, samplers-sheet.png: a minute. draw, which is what is done by default, draws the
// figures samplers-schedules.svg and, by that table, samplers-distance.svg.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/lanewise/lanewise/engine"
)

// The files in docs.
const (
	distanceTable  = "samplers-distance.csv"
	distanceFigure = "samplers-distance.svg"
	scheduleFigure = "samplers-schedules.svg"
	sheetPicture   = "samplers-sheet.png"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("figures: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	docs := flag.String("docs", "../../docs", "the `directory` of the figures")
	flag.Parse()
	commands := map[string]func(docs string) error{"measure": measureDistances, "sheet": makeSheet, "draw": drawFigures}
	chosen := flag.Args()
	if len(chosen) == 0 {
		chosen = []string{"draw"}
	}
	for _, name := range chosen {
		command := commands[name]
		if command == nil {
			return fmt.Errorf("there is no command %q: there are measure, sheet, draw", name)
		}
		if err := command(*docs); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// measureDistances writes the table of distances.
func measureDistances(docs string) error {
	e, err := engine.New(engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	p, err := newPainter(e, 0, prompts...)
	if err != nil {
		return err
	}
	all, err := p.measure(curves(), reference, referenceSteps, func(d distance) {
		fmt.Printf("%-24s %4d steps %4d calls  %.4g\n", d.Curve, d.Steps, d.Calls, d.RMS)
	})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := writeDistances(&out, all); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, distanceTable), out.Bytes(), 0o644)
}

// makeSheet makes the sheet of pictures.
func makeSheet(docs string) error {
	e, err := engine.New(engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	p, err := newPainter(e, sheetSeed, sheetPrompts...)
	if err != nil {
		return err
	}
	picture, err := p.sheet()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, sheetPicture), picture, 0o644)
}

// drawFigures draws what needs no model.
func drawFigures(docs string) error {
	drawn, err := figures(docs)
	if err != nil {
		return err
	}
	for name, content := range drawn {
		if err := os.WriteFile(filepath.Join(docs, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// figures returns the figures by the names of their files.
func figures(docs string) (map[string][]byte, error) {
	table, err := os.Open(filepath.Join(docs, distanceTable))
	if err != nil {
		return nil, err
	}
	defer table.Close()
	all, err := readDistances(table)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", distanceTable, err)
	}
	sigmas, err := sigmasPanel()
	if err != nil {
		return nil, err
	}
	drawn := map[string][]byte{}
	if drawn[scheduleFigure], err = drawing("Sigmas of schedules by step, and training levels over time", sigmas, levelsPanel()); err != nil {
		return nil, err
	}
	drawn[distanceFigure], err = drawing("Distance to 1000 steps of DDIM by calls of the model",
		distancePanel(all, "methods, with the model's own times", onOwnTimes),
		distancePanel(all, "methods, with karras from sigma 80 to 0.01", onKarras),
		distancePanel(all, "schedules, with dpm++", onSchedules),
		distancePanel(all, "clipping, with ddim", clipping))
	return drawn, err
}
