// Package size says how many images of which size a session can be made for.
package size

import "fmt"

// MaxPixels is the most pixels in all images of a session. It keeps sizes far from overflow.
const MaxPixels = 1 << 26

// Check returns an error unless batch images of height × width have at least one pixel and at most
// MaxPixels in all, also when each is scaled by a factor. what is the images' name.
func Check(what string, batch, height, width, factor int) error {
	most := MaxPixels / factor / factor
	if batch < 1 || height < 1 || width < 1 || batch > most || height > most/batch || width > most/batch/height {
		return fmt.Errorf("%d %s of %d×%d, want at least 1 pixel and at most %d in all", batch, what, height, width, most)
	}
	return nil
}
