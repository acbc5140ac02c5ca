package gemm

import "github.com/lanewise/lanewise/tensor"

// rows is how the rows of C are cut. Images, where the epilogue speaks of such, are cut into spans,
// what one call of the kernel may take in at most: rows that start from one bias, are gated alike and
// count into one block of moments. Spans are cut into tiles of MR rows, the last one lower.
type rows struct {
	total, perImage, perSpan   int
	images                     int
	tilesPerImage, tilesInSpan int // in a full span
	mr                         int
}

// cutRows cuts total rows of so many images into spans of at most span rows.
func cutRows(total, images, span, mr int) rows {
	if images == 1 && span >= total {
		n := (total + mr - 1) / mr
		return rows{total: total, images: 1, perImage: total, perSpan: total, tilesPerImage: n, tilesInSpan: n, mr: mr}
	}
	r := rows{total: total, images: images, perImage: total / images, mr: mr}
	r.perSpan = min(span, r.perImage)
	full, rest := r.perImage/r.perSpan, r.perImage%r.perSpan
	r.tilesInSpan = (r.perSpan + mr - 1) / mr
	r.tilesPerImage = full*r.tilesInSpan + (rest+mr-1)/mr
	return r
}

// tiles is how many tiles there are.
func (r *rows) tiles() int { return r.images * r.tilesPerImage }

// row returns the first row of tile t.
func (r *rows) row(t int) int {
	if r.perSpan == r.total {
		return min(t*r.mr, r.total)
	}
	image, t := t/r.tilesPerImage, t%r.tilesPerImage
	return image*r.perImage + t/r.tilesInSpan*r.perSpan + t%r.tilesInSpan*r.mr
}

// image returns the image of tile t.
func (r *rows) image(t int) int { return t / r.tilesPerImage }

// spanEnd returns the first tile of the span after that of tile t.
func (r *rows) spanEnd(t int) int {
	if r.perSpan == r.total {
		return r.tilesInSpan
	}
	image, t := t/r.tilesPerImage, t%r.tilesPerImage
	return image*r.tilesPerImage + min((t/r.tilesInSpan+1)*r.tilesInSpan, r.tilesPerImage)
}

// spans returns how many spans there are, and spanTile the first tile of one.
func (r *rows) spans() int { return r.images * r.spansPerImage() }

func (r *rows) spansPerImage() int { return (r.perImage + r.perSpan - 1) / r.perSpan }

func (r *rows) spanTile(s int) int {
	n := r.spansPerImage()
	return s/n*r.tilesPerImage + s%n*r.tilesInSpan
}

// span is the most rows of one span for an epilogue: those of a block of moments.
func (ep *Epilogue) span(rows int) int {
	if ep.Moments != nil {
		return tensor.MomentPixels
	}
	return rows
}

// images is how many images the epilogue speaks of, 1 if of none.
func (ep *Epilogue) images() int {
	switch {
	case ep.ImageBias.Data != nil:
		return ep.ImageBias.Rows
	case ep.Gate.Data != nil:
		return ep.Gate.Rows
	case ep.Moments != nil:
		return ep.Moments.Images
	}
	return 1
}
