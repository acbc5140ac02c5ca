package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far the pictures are: a bar on a terminal, else a line for each picture.
type progress struct {
	w        io.Writer // nil: nothing is shown
	bar      *progressbar.ProgressBar
	pictures int // how many there will be
	done     int
	began    time.Time // of the picture that is being made
}

// newProgress begins to show, on w, the making of so many pictures.
func newProgress(w io.Writer, pictures int, quiet bool) *progress {
	p := &progress{pictures: pictures, began: time.Now()}
	if quiet {
		return p
	}
	p.w = w
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(pictures,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription("denoising"),
			progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(40),
			progressbar.OptionThrottle(50*time.Millisecond),
			progressbar.OptionClearOnFinish())
	}
	return p
}

// step says that a step is done, of so many for each picture.
func (p *progress) step(count int) {
	if p.bar != nil {
		p.bar.ChangeMax(p.pictures * count)
		p.bar.Add(1)
	}
}

// picture says that a picture is done, and what it is.
func (p *progress) picture(what string) {
	p.done++
	now := time.Now()
	if p.w != nil && p.bar == nil && p.pictures > 1 {
		fmt.Fprintf(p.w, "picture %d of %d: %s, %s\n", p.done, p.pictures, what, seconds(now.Sub(p.began)))
	}
	p.began = now
}

// close takes the bar off the terminal.
func (p *progress) close() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

// seconds formats a duration for people: "0.31 s", "12.3 s".
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
