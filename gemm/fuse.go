package gemm

import (
	"fmt"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Prologue is what is done to the input while it is read: for the value x of channel c in image n,
//
//	act(fma(x − Mean[n][c], Scale[n][c], Shift[n][c]))
//
// which is a norm whose statistics are known, its modulation and its activation, bit for bit what
// norm.Group writes to memory. The three are images × channels; the rows of the input divide evenly
// among the images. Scale and Shift are both given or neither (Data nil), which leaves the activation
// alone; Mean may be given with them, its Data nil is zeros. The zero value is no prologue.
type Prologue struct {
	Mean, Scale, Shift tensor.Mat
	Act                kernels.Act
}

// Epilogue is what is done to the output while it is stored. The zero value is nothing.
//
// What it says of images divides the rows of dst evenly among them, the same number wherever
// it is said.
type Epilogue struct {
	// Bias holds a value for each column, for GLU one for each column of values and then one for
	// each of gates; nil is none.
	Bias []float32
	// ImageBias is a bias for each image: images × columns. Data nil is none. It excludes Bias.
	ImageBias tensor.Mat
	// Act is the activation; for GLU the gate's.
	Act kernels.Act
	// Gate multiplies what is activated, by a value for each image and column: images × columns,
	// AdaLN-Zero's α. Data nil is none. It excludes GLU.
	Gate tensor.Mat
	// Add is a residual of dst's shape, added last. It may be dst itself. Data nil is none.
	Add tensor.Mat
	// Moments, where not nil, is filled with those of dst: the statistics of the norm that comes
	// next, without another pass over memory.
	Moments *tensor.Moments
}

// Active says whether the prologue changes anything.
func (pro *Prologue) Active() bool { return pro.Scale.Data != nil || pro.Act != kernels.Identity }

// Check panics unless the prologue fits an input of rows of channels.
func (pro *Prologue) Check(rows, channels int) {
	if (pro.Scale.Data == nil) != (pro.Shift.Data == nil) {
		panic("gemm: prologue with one of scale and shift")
	}
	if pro.Scale.Data == nil {
		if pro.Mean.Data != nil {
			panic("gemm: prologue with a mean and no scale")
		}
		return
	}
	checkImages("gemm: prologue scale", pro.Scale, rows, channels)
	checkImages("gemm: prologue shift", pro.Shift, rows, channels)
	if pro.Scale.Rows != pro.Shift.Rows {
		panic(fmt.Sprintf("gemm: prologue of %d scales and %d shifts", pro.Scale.Rows, pro.Shift.Rows))
	}
	if pro.Mean.Data != nil {
		checkImages("gemm: prologue mean", pro.Mean, rows, channels)
		if pro.Mean.Rows != pro.Scale.Rows {
			panic(fmt.Sprintf("gemm: prologue of %d means and %d scales", pro.Mean.Rows, pro.Scale.Rows))
		}
	}
}

// checkImages panics unless m has the given columns and rows divide evenly among its rows.
func checkImages(name string, m tensor.Mat, rows, columns int) {
	m.Check(name)
	if m.Cols != columns || m.Rows == 0 || rows%m.Rows != 0 {
		panic(fmt.Sprintf("%s is %d×%d for %d rows of %d", name, m.Rows, m.Cols, rows, columns))
	}
}

// Apply fills dst with the prologue of src: the rows from row on, of rows altogether, and their
// channels from channel on, of an input to the weights w. dst does not overlap src.
func (pro *Prologue) Apply(w *engine.Worker, dst, src tensor.Mat, row, rows, channel int, weights *Packed) {
	if pro.Scale.Data == nil {
		if pro.Act == kernels.Identity {
			for r := range src.Rows {
				copy(dst.Row(r), src.Row(r))
			}
			return
		}
		a := &w.Args.Activate
		*a = kernels.ActivateArgs{Rows: src.Rows, Cols: src.Cols, Act: pro.Act,
			Src: src.Data, SrcStride: src.Stride, Dst: dst.Data, DstStride: dst.Stride}
		w.Set.Activate(a)
		*a = kernels.ActivateArgs{}
		return
	}
	perImage := rows / pro.Scale.Rows
	a := &w.Args.Affine
	for r := 0; r < src.Rows; {
		image := (row + r) / perImage
		n := min((image+1)*perImage-row, src.Rows) - r
		mean := weights.zeros
		if pro.Mean.Data != nil {
			mean = pro.Mean.Row(image)[channel:]
		}
		*a = kernels.AffineArgs{Rows: n, Cols: src.Cols, Act: pro.Act,
			Mean:  mean,
			Scale: pro.Scale.Row(image)[channel:], Shift: pro.Shift.Row(image)[channel:],
			Src: src.Data[r*src.Stride:], SrcStride: src.Stride,
			Dst: dst.Data[r*dst.Stride:], DstStride: dst.Stride}
		w.Set.Affine(a)
		r += n
	}
	*a = kernels.AffineArgs{}
}

// Check panics unless the epilogue fits dst, whose weights have as many columns.
func (ep *Epilogue) Check(dst tensor.Mat) { ep.check(dst, dst.Cols) }

// Images is how many images the epilogue speaks of, 1 if of none.
func (ep *Epilogue) Images() int { return ep.images() }

// check panics unless the epilogue fits dst, whose weights have the given columns.
func (ep *Epilogue) check(dst tensor.Mat, columns int) {
	if ep.Bias != nil && len(ep.Bias) != columns {
		panic(fmt.Sprintf("gemm: bias of %d values for %d columns", len(ep.Bias), columns))
	}
	images := ep.images()
	if ep.ImageBias.Data != nil {
		if ep.Bias != nil {
			panic("gemm: both a bias and a bias for each image")
		}
		checkImages("gemm: image bias", ep.ImageBias, dst.Rows, columns)
	}
	if ep.Gate.Data != nil {
		if columns != dst.Cols {
			panic("gemm: a gate for each image on a gated linear unit")
		}
		checkImages("gemm: gate", ep.Gate, dst.Rows, columns)
		if ep.Gate.Rows != images {
			panic(fmt.Sprintf("gemm: gates of %d images and biases of %d", ep.Gate.Rows, images))
		}
	}
	if ep.Add.Data != nil {
		ep.Add.Check("gemm: add")
		if ep.Add.Rows != dst.Rows || ep.Add.Cols != dst.Cols {
			panic(fmt.Sprintf("gemm: add is %d×%d for dst of %d×%d", ep.Add.Rows, ep.Add.Cols, dst.Rows, dst.Cols))
		}
	}
	if m := ep.Moments; m != nil {
		if m.Images*m.Pixels != dst.Rows || m.Channels != dst.Cols || len(m.Data) < m.Images*m.Blocks()*3*m.Channels {
			panic(fmt.Sprintf("gemm: moments of %d images of %d×%d for dst of %d×%d", m.Images, m.Pixels, m.Channels, dst.Rows, dst.Cols))
		}
		if m.Images != images {
			panic(fmt.Sprintf("gemm: moments of %d images and biases or gates of %d", m.Images, images))
		}
	}
}
