package control

// A frame finds the end of a JSON value that arrives in pieces. It looks at each byte once, whatever the pieces are, and at nothing but
// brackets and strings: that the value is one is for the parser to say.
type frame struct {
	pos      int // bytes looked at
	depth    int
	inString bool
	escaped  bool
}

// ended reports whether data, which begins with what was given before, holds the end of the value.
func (f *frame) ended(data []byte) bool {
	for ; f.pos < len(data); f.pos++ {
		c := data[f.pos]
		switch {
		case f.escaped:
			f.escaped = false
		case f.inString:
			f.inString = c != '"'
			f.escaped = c == '\\'
		case c == '"':
			f.inString = true
		case c == '{' || c == '[':
			f.depth++
		case c == '}' || c == ']':
			f.depth--
		}
	}
	return f.depth <= 0 && !f.inString && f.pos > 0
}
