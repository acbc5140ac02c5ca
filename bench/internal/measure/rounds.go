package measure

import (
	"slices"
	"time"
)

// Rounds runs everyone in turns: in each round each for a burst or longer, in an order that rotates, so that a
// clock that drifts and a neighbour that comes and goes meet all alike. It returns how many nanoseconds a
// run took, by runner and round. after follows every burst.
func Rounds(rounds int, burst time.Duration, runners []func(), after func(runner int)) (times [][]float64) {
	counts := make([]int, len(runners))
	for i, run := range runners {
		run() // caches, scratch memory
		for counts[i] = 1; ; counts[i] *= 2 {
			d := timed(run, counts[i])
			if d > burst/8 {
				counts[i] = max(1, int(float64(counts[i])*float64(burst)/float64(d)))
				break
			}
		}
	}
	times = make([][]float64, len(runners))
	for round := range rounds {
		for i := range runners {
			i = (i + round) % len(runners)
			timed(runners[i], counts[i]/4)
			d := timed(runners[i], counts[i])
			times[i] = append(times[i], float64(d.Nanoseconds())/float64(counts[i]))
			after(i)
		}
	}
	return times
}

func timed(run func(), times int) time.Duration {
	start := time.Now()
	for range times {
		run()
	}
	return time.Since(start)
}

// Median returns the middle of v, or the mean of the two that are; 0 of nothing.
func Median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Ratio is the median of a/b over the rounds.
func Ratio(a, b []float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return Median(r)
}
