package state

import (
	"bytes"
	"sync"
)

// Shared has what Roots share: buffers, and values that are the same in many state files, so that
// they are kept once. On a node, most sandboxes have the same registration, metadata and
// capabilities. Without the memos a file takes 52 allocations instead of 11, and 10,000 files 29 MB
// instead of 10 (BenchmarkParse, BenchmarkListFirst). With Shared, 500 roots with a sandbox each take
// 4 MB instead of 113. Roots that share it may be used at the same time.
type Shared struct {
	annotation string    // key of the annotation that a Spec has; empty: none
	buffers    sync.Pool // of *buffers

	mu            sync.Mutex // not held while a file is read
	registrations registrations
	metadata      memo[[]Pair]
	capabilities  memo[[]string]
}

// buffers are the buffers of a call of a Root. A call that hangs keeps its own.
type buffers struct {
	names   []byte // for directory entries
	content []byte // for state files
}

// NewShared returns what new Roots share. The specs of their containers have the value of the
// annotation with the key; an empty key means none.
func NewShared(annotation string) *Shared {
	return &Shared{annotation: annotation,
		buffers: sync.Pool{New: func() any { return &buffers{names: make([]byte, 32<<10)} }}}
}

// A memo caches the last value and its JSON, which is an object or null. The value never changes.
type memo[T any] struct {
	text  []byte
	value T
}

// read returns the parser's next value. It calls parse only if the JSON differs from the last one.
func (m *memo[T]) read(p *parser, parse func() T) T {
	p.Kind() // moves to the first byte of the value
	rest, start := p.Rest(), p.Offset()
	// A prefix match is enough: an object ends with its closing brace.
	if len(m.text) > 0 && bytes.HasPrefix(rest, m.text) {
		p.Advance(len(m.text))
		return m.value
	}
	value := parse()
	if p.Err() == nil {
		*m = memo[T]{bytes.Clone(rest[:p.Offset()-start]), value}
	}
	return value
}
