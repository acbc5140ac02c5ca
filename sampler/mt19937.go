package sampler

// mt19937 is the Mersenne Twister (Matsumoto and Nishimura, 1998) as PyTorch seeds and reads it.
type mt19937 struct {
	state [624]uint32
	next  int // the next word of state to hand out; len(state): all are spent
}

// seed fills the state from the low 32 bits of seed, which is all that PyTorch looks at.
func (m *mt19937) seed(seed uint64) {
	m.state[0] = uint32(seed)
	for i := 1; i < len(m.state); i++ {
		prev := m.state[i-1]
		m.state[i] = 1812433253*(prev^prev>>30) + uint32(i)
	}
	m.next = len(m.state)
}

// uint32 returns the next 32 random bits.
func (m *mt19937) uint32() uint32 {
	if m.next == len(m.state) {
		m.twist()
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// twist replaces the spent state with the next.
func (m *mt19937) twist() {
	const n, middle = len(m.state), 397
	for i := range m.state {
		mixed := m.state[i]&(1<<31) | m.state[(i+1)%n]&(1<<31-1)
		m.state[i] = m.state[(i+middle)%n] ^ mixed>>1 ^ mixed&1*0x9908b0df
	}
	m.next = 0
}

// float32 returns a multiple of 2⁻²⁴ in [0, 1).
func (m *mt19937) float32() float32 {
	return float32(m.uint32()&(1<<24-1)) * 0x1p-24
}

// float64 returns a multiple of 2⁻⁵³ in [0, 1), from two words, the upper one first.
func (m *mt19937) float64() float64 {
	hi := uint64(m.uint32())
	return float64((hi<<32|uint64(m.uint32()))&(1<<53-1)) * 0x1p-53
}
