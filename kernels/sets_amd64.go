//go:build amd64 && !purego

package kernels

// makers lists what amd64 has beyond generic, the best first.
func makers() []entry { return nil }
