package main

import (
	"image"
	"image/draw"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// captionFont is 7 pixels wide for every character; it has those of ASCII.
var captionFont = basicfont.Face7x13

const (
	captionNarrowest = 64 // pixels that a picture is wide at least, to have a caption: nine characters
	captionLines     = 4  // at most
)

// wrapCaption breaks paragraphs into lines of so many pixels. Words that are too long are cut, and
// so is what goes beyond the last line.
func wrapCaption(paragraphs []string, width int) []string {
	most := width / captionFont.Advance
	var lines []string
	for _, paragraph := range paragraphs {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if w := []rune(word); len(w) > most {
				word = string(w[:most-1]) + "~"
			}
			switch {
			case line == "":
				line = word
			case len([]rune(line))+1+len([]rune(word)) <= most:
				line += " " + word
			default:
				lines = append(lines, line)
				line = word
			}
		}
		lines = append(lines, line)
	}
	return lines[:min(len(lines), captionLines)]
}

// drawCaption writes lines below each other, in the middle of a picture of so many pixels whose
// lower left corner is at.
func drawCaption(dst draw.Image, at image.Point, width int, lines []string) {
	d := font.Drawer{Dst: dst, Src: image.Black, Face: captionFont}
	for i, line := range lines {
		left := at.X + (width-captionFont.Advance*len([]rune(line)))/2
		d.Dot = fixed.P(left, at.Y+i*captionFont.Height+captionFont.Ascent)
		d.DrawString(line)
	}
}
