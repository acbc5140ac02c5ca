// Command photo renders an apple on a table, as a camera might see it: a picture that is nobody's,
// for ../pictures.sh to draw anew in the model's styles.
//
//	photo FILE.jpg
package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
)

const (
	size    = 192 // pixels each way
	samples = 3   // per pixel, each way
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: photo FILE.jpg")
		os.Exit(2)
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, render(), &jpeg.Options{Quality: 85})
	if err == nil {
		err = os.WriteFile(os.Args[1], b.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "photo:", err)
		os.Exit(1)
	}
}

// vec is a point, a direction or a linear color. y is up.
type vec struct{ x, y, z float64 }

func (a vec) plus(b vec) vec          { return vec{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec) times(s float64) vec     { return vec{a.x * s, a.y * s, a.z * s} }
func (a vec) dot(b vec) float64       { return a.x*b.x + a.y*b.y + a.z*b.z }
func (a vec) length() float64         { return math.Sqrt(a.dot(a)) }
func (a vec) unit() vec               { return a.times(1 / a.length()) }
func mix(a, b vec, share float64) vec { return a.times(1 - share).plus(b.times(share)) }
func bump(x, width float64) float64   { return math.Exp(-x * x / (width * width)) }
func step(from, to, x float64) float64 {
	x = min(max((x-from)/(to-from), 0), 1)
	return x * x * (3 - 2*x)
}

// apple is less than 0 inside of the fruit: a sphere with a dimple above and below.
func apple(p vec) float64 {
	polar := math.Acos(p.y / max(p.length(), 1e-9))
	return p.length() - 1 + 0.42*bump(polar, 0.42) + 0.1*bump(math.Pi-polar, 0.5)
}

// stem is the distance from a bent stick above the dimple.
func stem(p vec) float64 {
	h := min(max(p.y, 0.5), 1.1)
	return p.plus(vec{-0.35 * (h - 0.5) * (h - 0.5), -h, 0}).length() - 0.045 - 0.03*step(0.9, 1.1, h)
}

const table = -0.93 // its height

// scene is about the distance from whatever is nearest.
func scene(p vec) float64 { return min(0.6*apple(p), stem(p), p.y-table) }

// normal is the direction in which the scene's distance grows.
func normal(p vec) vec {
	const h = 1e-4
	return vec{
		scene(p.plus(vec{h, 0, 0})) - scene(p.plus(vec{-h, 0, 0})),
		scene(p.plus(vec{0, h, 0})) - scene(p.plus(vec{0, -h, 0})),
		scene(p.plus(vec{0, 0, h})) - scene(p.plus(vec{0, 0, -h})),
	}.unit()
}

// surface is the color of what is at p.
func surface(p vec) vec {
	switch a, s := apple(p), stem(p); {
	case s < 0.01:
		return vec{0.12, 0.06, 0.02}
	case a < 0.01:
		streak := 0.5 + 0.3*math.Sin(31*math.Atan2(p.z, p.x)+math.Sin(3*p.y)) + 0.2*math.Sin(77*math.Atan2(p.z, p.x))
		red := mix(vec{0.5, 0.012, 0.01}, vec{0.6, 0.03, 0.015}, streak)
		return mix(red, vec{0.6, 0.4, 0.05}, 0.8*bump(math.Hypot(p.x, p.z), 0.35)*step(0, 0.4, p.y))
	default:
		return vec{0.72, 0.68, 0.62}
	}
}

var (
	window = vec{-0.6, 0.9, 0.65}.unit() // where most of the light comes from
	camera = vec{0, 0.75, 5}
)

// shadow is how much of the window's light reaches p, softer the farther away what is between lies.
func shadow(p vec) float64 {
	light := 1.0
	for t := 0.03; t < 4; {
		d := scene(p.plus(window.times(t)))
		if d < 1e-3 {
			return 0
		}
		light = min(light, 6*d/t)
		t += max(d, 0.01)
	}
	return light
}

// trace returns the light that comes to the camera from a direction.
func trace(direction vec) vec {
	backdrop := mix(vec{0.8, 0.8, 0.8}, vec{0.62, 0.66, 0.7}, step(-0.1, 0.35, direction.y))
	for t := 0.0; t < 12; {
		p := camera.plus(direction.times(t))
		d := scene(p)
		if d > 1e-3 {
			t += d
			continue
		}
		n := normal(p)
		direct := max(n.dot(window), 0) * shadow(p.plus(n.times(0.01)))
		open := step(0, 0.5, scene(p.plus(n.times(0.35)))+0.12) // to the rest of the room
		lit := surface(p).times(0.95*direct + (0.25+0.12*n.y)*open)
		if p.y-table > 2e-3 {
			half := window.plus(direction.times(-1)).unit()
			gloss := 0.5*math.Pow(max(n.dot(half), 0), 60) + 0.05*math.Pow(1+n.dot(direction), 3)
			lit = lit.plus(vec{1, 1, 1}.times(gloss))
		}
		return mix(lit, backdrop, step(4.5, 9, t))
	}
	return backdrop
}

// render takes the picture.
func render() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			var sum vec
			for s := range samples * samples {
				u := (float64(x) + (float64(s%samples)+0.5)/samples) / size
				v := (float64(y) + (float64(s/samples)+0.5)/samples) / size
				sum = sum.plus(trace(vec{0.56 * (u - 0.5), 0.56*(0.5-v) - 0.15, -1}.unit()))
			}
			c := sum.times(1.0 / (samples * samples))
			img.SetRGBA(x, y, color.RGBA{srgb(c.x), srgb(c.y), srgb(c.z), 255})
		}
	}
	return img
}

// srgb encodes linear light.
func srgb(v float64) uint8 { return uint8(255*math.Pow(min(max(v, 0), 1), 1/2.2) + 0.5) }
