package main

import "testing"

// The picture shows a red apple with a dark stem, before a light wall, and its shadow on the table.
func TestRender(t *testing.T) {
	p := render()
	if middle := p.RGBAAt(size/2, size*6/10); middle.R < 130 || middle.G > 90 || middle.B > 90 {
		t.Errorf("the middle is %v", middle)
	}
	if stem := p.RGBAAt(size*52/100, size*11/100); stem.R > 160 {
		t.Errorf("the stem is %v", stem)
	}
	wall := p.RGBAAt(size/20, size/20)
	if wall.R < 180 || wall.G < 180 || wall.B < 180 {
		t.Errorf("the wall is %v", wall)
	}
	light, shadow := p.RGBAAt(size/20, size*95/100), p.RGBAAt(size*7/10, size*83/100)
	if shadow.R+60 > light.R {
		t.Errorf("the shadow is %v, the table %v", shadow, light)
	}
}
