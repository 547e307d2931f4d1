package expo

// Bytes of a line without its labels: the longest names of runsc are twice as long, and most are shorter.
const (
	lineSize    = 64
	ownLineSize = 24 // besides the name
)

// LineSize is about how long a line with the labels is.
func (l *Labels) LineSize() int { return len(l.block) + lineSize }

// Size is about how long the text of the page is, so that it need not be moved while it grows.
func (p *Page) Size() int {
	size := 0
	for i := range p.Families {
		f := &p.Families[i]
		size += 2*len(f.Name) + len(f.Help) + lineSize/2
		for k := range f.Own {
			size += len(f.Name) + len(f.Own[k].Labels) + ownLineSize
		}
	}
	for i := range p.Sources {
		src := &p.Sources[i]
		size += len(src.Samples) * src.Labels.LineSize()
	}
	return size
}
