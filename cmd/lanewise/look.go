package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/pipeline"
)

// A look is how a picture is drawn: in one style, whose weight is 1, or in a mixture. A part without
// text is no style.
type look []pipeline.Part

// single says whether the look is one style.
func (l look) single() bool { return len(l) == 1 && l[0].Weight == 1 }

// flag writes the look as --style reads it.
func (l look) flag() string {
	if l.single() {
		return flagName(l[0].Text)
	}
	var parts []string
	for _, p := range l {
		parts = append(parts, formatPart(pipeline.Part{Text: flagName(p.Text), Weight: p.Weight}))
	}
	return strings.Join(parts, ",")
}

// flagName is what --style calls a style.
func flagName(style string) string {
	if style == "" {
		return noStyle
	}
	return style
}

// String names the look for people: "style noto", "no style", "75% noto 25% flat".
func (l look) String() string {
	switch {
	case !l.single():
		return strings.Join(l.shares(), " ")
	case l[0].Text == "":
		return "no style"
	default:
		return "style " + l[0].Text
	}
}

// caption names the look where it is clear that it is one, in paragraphs.
func (l look) caption() []string {
	switch {
	case !l.single():
		return l.shares()
	case l[0].Text == "":
		return []string{"no style"}
	default:
		return []string{l[0].Text}
	}
}

// shares lists the parts by percent.
func (l look) shares() []string {
	var parts []string
	for _, p := range l {
		parts = append(parts, fmt.Sprintf("%.3g%% %s", 100*p.Weight, flagName(p.Text)))
	}
	return parts
}

// parseLooks reads values of --style: each is a mixture, "noto:0.5,flat:0.5", or a list of styles.
// What comes twice is drawn once.
func parseLooks(values, known []string) ([]look, error) {
	var looks []look
	for _, value := range values {
		if strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("--style is empty (styles: %s)", choices(known))
		}
		list, mixed := strings.Split(value, ","), strings.Contains(value, ":")
		if mixed {
			l, err := parseMixedLook(list, known)
			if err != nil {
				return nil, err
			}
			looks = append(looks, l)
			continue
		}
		for _, name := range list {
			if strings.EqualFold(strings.TrimSpace(name), allStyles) {
				for _, style := range known {
					looks = append(looks, look{{Text: style, Weight: 1}})
				}
				continue
			}
			style, err := findStyle(name, known)
			if err != nil {
				return nil, err
			}
			looks = append(looks, look{{Text: style, Weight: 1}})
		}
	}
	var once []look
	for _, l := range looks {
		if !slices.ContainsFunc(once, func(o look) bool { return slices.Equal(o, l) }) {
			once = append(once, l)
		}
	}
	return once, nil
}

// parseMixedLook reads the parts of a mixture of styles.
func parseMixedLook(parts, known []string) (look, error) {
	var l look
	for _, s := range parts {
		p, err := parsePart(s)
		if err == nil {
			p.Text, err = findStyle(p.Text, known)
		}
		if err != nil {
			return nil, fmt.Errorf("--style: %w", err)
		}
		l = append(l, p)
	}
	return l, nil
}

// findStyle returns the model's name of a style; that of no style is empty.
func findStyle(name string, known []string) (string, error) {
	name = strings.TrimSpace(name)
	if strings.EqualFold(name, noStyle) {
		return "", nil
	}
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
	if i < 0 {
		return "", fmt.Errorf("unknown style %q (styles: %s)", name, choices(known))
	}
	return known[i], nil
}

// choices lists what --style can be.
func choices(known []string) string {
	return strings.Join(append(slices.Clone(known), allStyles, noStyle), ", ")
}

// interpolate returns looks from one style to the next, and on to each of several, in equal steps.
func interpolate(stops string, frames int, known []string) ([]look, error) {
	var styles []string
	for _, name := range strings.Split(stops, ",") {
		style, err := findStyle(name, known)
		if err != nil {
			return nil, fmt.Errorf("--interpolate: %w", err)
		}
		styles = append(styles, style)
	}
	if len(styles) < 2 {
		return nil, fmt.Errorf("--interpolate is %q; it must name two styles or more, such as %s", stops, strings.Join(known[:min(2, len(known))], ","))
	}
	if frames < len(styles) {
		return nil, fmt.Errorf("--frames is %d; it must be at least %d, as many as styles of --interpolate", frames, len(styles))
	}
	looks := make([]look, frames)
	for i := range looks {
		// In units of frames-1, so that the styles themselves are met exactly.
		at := i * (len(styles) - 1)
		from, share := at/(frames-1), float64(at%(frames-1))/float64(frames-1)
		looks[i] = look{{Text: styles[from], Weight: 1 - share}}
		if share > 0 {
			looks[i] = append(looks[i], pipeline.Part{Text: styles[from+1], Weight: share})
		}
	}
	return looks, nil
}
