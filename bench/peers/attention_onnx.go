package main

import "fmt"

// onnx are ONNX Runtime's attentions: its own operator, with keys and values as projections leave them or as a cache
// of them would lie, and the product, softmax, product that exporters write.
func (d *attentionData) onnx(r *race) {
	r.add(onnxRuntime, "MultiHeadAttention", func() (contender, error) { return d.operator(r.workers, false) })
	r.add(onnxRuntime, "MultiHeadAttention, context by heads", func() (contender, error) { return d.operator(r.workers, true) })
	r.add(onnxRuntime, "products", func() (contender, error) {
		all := d.batch * d.heads
		m := model{
			nodes:     []node{{op: "Mul", in: []string{"q", "scale"}, out: []string{"scaled"}}},
			constants: []constant{{"scale", nil, []float32{d.scale}}},
			inputs:    []operand{{"q", []int{all, d.queries, d.size}}},
		}
		inputs := [][]float32{d.apart(d.queries, d.q)}
		for i, c := range d.contexts {
			m.inputs = append(m.inputs, operand{name("k", i), []int{all, d.size, c.keys}}, operand{name("v", i), []int{all, c.keys, d.size}})
			inputs = append(inputs, transposed(d.apart(c.keys, c.k), all, c.keys, d.size), d.apart(c.keys, c.v))
			scores := name("scores", i)
			m.add("MatMul", scores, "scaled", name("k", i))
			if i == 0 && d.mask != nil {
				m.constants = append(m.constants, constant{"mask", []int{1, len(d.mask) / c.keys, c.keys}, d.mask})
				m.add("Add", "masked", scores, "mask")
				scores = "masked"
			}
			m.add("Softmax", name("weights", i), scores)
			m.add("MatMul", name("y", i), name("weights", i), name("v", i))
		}
		m.outputs = []operand{{m.sum(d.contexts), []int{all, d.queries, d.size}}}
		s, err := newORT(r.workers, m, inputs...)
		if err != nil {
			return nil, err
		}
		s.restore = d.together
		return s, nil
	})
}

// operator is MultiHeadAttention for each context. A mask by key is 0 or 1 there.
func (d *attentionData) operator(workers int, apart bool) (contender, error) {
	tokens := func(n int) []int { return []int{d.batch, n, d.width()} }
	m := model{inputs: []operand{{"q", tokens(d.queries)}}}
	inputs := [][]float32{d.q}
	for i, c := range d.contexts {
		dims, k, v := tokens(c.keys), c.k, c.v
		if apart {
			dims, k, v = []int{d.batch, d.heads, c.keys, d.size}, d.apart(c.keys, k), d.apart(c.keys, v)
		}
		m.inputs = append(m.inputs, operand{name("k", i), dims}, operand{name("v", i), dims})
		inputs = append(inputs, k, v)
		n := node{op: "MultiHeadAttention", domain: microsoft, in: []string{"q", name("k", i), name("v", i)}, out: []string{name("y", i)},
			attributes: []attribute{{"num_heads", d.heads}}}
		switch {
		case i > 0 || d.mask == nil:
		case d.causal:
			n.attributes = append(n.attributes, attribute{"unidirectional", 1})
		default:
			seen := make([]int32, d.batch*c.keys)
			for j := range seen {
				if d.mask[j%c.keys] == 0 {
					seen[j] = 1
				}
			}
			m.constants = append(m.constants, constant{"seen", []int{d.batch, c.keys}, seen})
			n.in = append(n.in, "", "seen") // a bias that it may have comes first
		}
		m.nodes = append(m.nodes, n)
	}
	m.outputs = []operand{{m.sum(d.contexts), tokens(d.queries)}}
	return sessionOf(newORT(workers, m, inputs...))
}

// add appends an operator of one output.
func (m *model) add(op, out string, in ...string) {
	m.nodes = append(m.nodes, node{op: op, in: in, out: []string{out}})
}

// sum appends what adds the results y0, y1 … of contexts by their weights, and returns the name of the sum.
func (m *model) sum(contexts []attentionContext) string {
	last := name("y", 0)
	for i, c := range contexts[1:] {
		i++
		m.constants = append(m.constants, constant{name("weight", i), nil, []float32{c.weight}})
		m.add("Mul", name("weighed", i), name("y", i), name("weight", i))
		m.add("Add", name("sum", i), last, name("weighed", i))
		last = name("sum", i)
	}
	return last
}

// name is that of an operand of context i.
func name(of string, i int) string { return fmt.Sprint(of, i) }
