//go:build (!amd64 && !arm64) || purego

package kernels

// makers is empty where there is no assembly: every Set is the generic one.
func makers() []entry { return nil }
