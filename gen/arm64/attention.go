package arm64

import (
	"slices"

	"github.com/lanewise/lanewise/gen/layout"
)

// attention emits the kernels that a block of keys passes through.
func attention(e *emitter) {
	score(e)
	softmax(e)
	weigh(e)
}

// softmax emits Softmax: a pass for the maxima, and one for exponentials and their sums. Both take six
// vectors at once, the scores of two keys or more, whose chains overlap.
//
// Register plan: V0 to V2 hold the maxima, V3 to V5 the sums. In the first pass each key of those that are
// taken together has maxima of its own, V6 to V11 besides the first's; scores are in V12 to V17, and V18 to
// V23 say which are larger. In the second V6 to V29 are arguments, exponents and results of exp2, whose
// constants V30 and V31 hold.
func softmax(e *emitter) {
	const together = 6
	var (
		keys, s, left, p      = R(0), R(1), R(2), R(3)
		highest, total, alpha = R(4), R(5), R(6)
	)
	e.function("Softmax", 0, layout.Softmax, R(19), "Softmax is kernels.Set.Softmax; args points to a kernels.SoftmaxArgs.")
	e.get("Keys", keys)
	e.get("S", s)
	e.get("Max", highest)
	e.get("Sum", total)
	e.get("Alpha", alpha)
	e.constants(tables)
	exp2 := e.newExp2(30, 31)
	e.byVectors(left, func(wide int) {
		top, sum := registers(0, wide), registers(3, wide)
		exponentials := func(n int) (v, by, to, tmp vectors) {
			set := func(i int) vectors { return registers(V(6+i*together), n) }
			return set(0), set(1), set(2), set(3)
		}
		// byKeys emits body for all keys, some of them together and then one by one: n vectors at p.
		byKeys := func(body func(n int)) {
			const some = together
			several, rest, one, done := e.unique("keys"), e.unique("rest"), e.unique("key"), e.unique("done")
			e.MOVD(s, p)
			e.SUBS(some/wide, keys, left)
			e.BLT(rest)
			e.align(32)
			e.label(several)
			body(some)
			e.ADD(some*bytesV, p)
			e.SUBS(some/wide, left)
			e.BGE(several)
			e.label(rest)
			e.ADDS(some/wide, left)
			e.BEQ(done)
			e.label(one)
			body(wide)
			e.ADD(wide*bytesV, p)
			e.SUBS(1, left)
			e.BNE(one)
			e.label(done)
		}

		// top = max(top, s), but for a NaN, signalling or not
		larger := func(v, top vectors) {
			is := registers(18, len(v))
			each(e.FCMGT, top, v, is)
			each(e.VBIT, is, v, top)
		}
		chains := slices.Concat(top, registers(6, together-wide))
		for i := 0; i < together; i += wide {
			e.loadAll(highest, chains[i:][:wide])
		}
		byKeys(func(n int) {
			read := registers(12, n)
			e.loadAll(p, read)
			larger(read, chains[:n])
		})
		for i := wide; i < together; i += wide {
			larger(chains[i:][:wide], top)
		}

		// Alpha = exp2(Max − top), Sum *= Alpha, Max = top
		v, by, to, tmp := exponentials(wide)
		e.loadAll(highest, v)
		e.storeAll(top, highest)
		each(e.FSUB, top, v, v)
		exp2.emit(v, by, to, tmp)
		e.storeAll(to, alpha)
		e.loadAll(total, v)
		each(e.FMUL, to, v, v)
		e.storeAll(v, total)

		// s = exp2(s − top), sum += s
		each(e.VEOR, sum, sum, sum)
		byKeys(func(n int) {
			v, by, to, tmp := exponentials(n)
			e.loadAll(p, v)
			each(e.FSUB, cycle(top, n), v, v)
			exp2.emit(v, by, to, tmp)
			sums := cycle(sum, n)
			each(e.FADD, to, sums, sums)
			e.storeAll(to, p)
		})
		e.loadAll(total, v)
		each(e.FADD, v, sum, sum)
		e.storeAll(sum, total)
		e.RET()
	})
}
