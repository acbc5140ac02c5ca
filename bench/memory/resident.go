package main

import (
	"bytes"
	"os"
	"strconv"
)

// Linux tells how much memory of a process is resident, and was at most, in /proc/self/status (proc(5)). Other systems
// tell the peak of the whole life alone, or nothing: nothing is known there.
const (
	statusFile = "/proc/self/status"
	resetFile  = "/proc/self/clear_refs"
	resetPeak  = "5" // what, written there, lets the peak begin anew
)

// residentBefore lets the peak begin anew and returns what is resident, in bytes.
func residentBefore() (now int, known bool) {
	if err := os.WriteFile(resetFile, []byte(resetPeak), 0); err != nil {
		return 0, false
	}
	return status("VmRSS")
}

// residentPeak returns the most that was resident since then.
func residentPeak() (peak int, known bool) { return status("VmHWM") }

func status(field string) (int, bool) {
	text, err := os.ReadFile(statusFile)
	if err != nil {
		return 0, false
	}
	return sizeIn(text, field)
}

// sizeIn reads a field of /proc/self/status: its name, a colon, a number, kB.
func sizeIn(text []byte, field string) (size int, known bool) {
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		words := bytes.Fields(rest)
		if string(name) == field && len(words) == 2 && string(words[1]) == "kB" {
			n, err := strconv.Atoi(string(words[0]))
			return n << 10, err == nil
		}
	}
	return 0, false
}
