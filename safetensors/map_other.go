//go:build !unix

package safetensors

import (
	"errors"
	"os"
)

// mapFile leaves files to be read through io.ReaderAt.
func mapFile(*os.File, int64) (data []byte, unmap func() error, err error) {
	return nil, nil, errors.ErrUnsupported
}

// guardFault runs read: there are no mapped pages.
func guardFault(read func()) error {
	read()
	return nil
}
