package norm

// moments are those of count values: their sums of x − about and of its square.
type moments struct{ count, about, sum, square float64 }

// merge makes one of those of rows values in each of a few channels, which are about ref.
func merge(rows int, ref, sum, square []float32) moments {
	n, about := float64(rows), float64(ref[0])
	var total, squares float64
	sum, square = sum[:len(ref)], square[:len(ref)]
	for c, ref := range ref {
		d, s := float64(ref)-about, float64(sum[c])
		nd := float64(n * d)
		total += s + nd
		squares += float64(square[c]) + float64(d*(2*s+nd))
	}
	return moments{n * float64(len(ref)), about, total, squares}
}

// add takes in other values: with d = other.about − m.about,
//
//	Σ(x − m.about) = Σ(x − other.about) + count·d
//	Σ(x − m.about)² = Σ(x − other.about)² + d·(2Σ(x − other.about) + count·d)
func (m *moments) add(other moments) {
	d := other.about - m.about
	nd := float64(other.count * d)
	m.count += other.count
	m.sum += other.sum + nd
	m.square += other.square + float64(d*(2*other.sum+nd))
}
