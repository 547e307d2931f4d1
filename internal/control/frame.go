package control

// A frame finds the end of a JSON value that arrives in fragments. It looks at each byte once, and
// only at brackets and strings: the parser decides whether the value is valid.
type frame struct {
	pos      int // bytes looked at
	depth    int
	inString bool
	escaped  bool
	end      bool
}

// ended reports whether data, which begins with the data of the last call, has the whole value. A
// number or a word does not show where it ends, so it counts as whole after its first byte: it is
// not a reply.
func (f *frame) ended(data []byte) bool {
	for f.pos < len(data) && !f.end {
		if f.inString {
			f.skipString(data)
		} else {
			f.skipByte(data[f.pos])
		}
	}
	return f.end
}

// skipString advances to the end of the string, or of data.
func (f *frame) skipString(data []byte) {
	if f.escaped {
		f.escaped = false
		f.pos++
	}
	i := f.pos
	for i < len(data) && data[i] != '"' && data[i] != '\\' {
		i++
	}
	f.pos = i
	if i == len(data) {
		return
	}
	f.pos++
	if data[i] == '\\' {
		f.escaped = true
		return
	}
	f.inString = false
	f.end = f.depth == 0
}

// skipByte looks at one byte outside of strings.
func (f *frame) skipByte(c byte) {
	f.pos++
	switch c {
	case '"':
		f.inString = true
	case '{', '[':
		f.depth++
	case '}', ']':
		f.depth--
		f.end = f.depth <= 0
	case ' ', '\n', '\t', '\r':
	default:
		f.end = f.depth == 0
	}
}
