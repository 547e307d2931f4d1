package cli

import (
	"slices"
	"strings"
	"unicode"
)

// A Column of a table.
type Column struct {
	Title string
	// MinWidth is the smallest width of the column in a table that is too wide: longer cells are
	// cut and end in an ellipsis. 0: cells are never cut.
	MinWidth int
	// Optional columns are left out if the table is still too wide, highest numbers first. 0: the
	// column is never left out.
	Optional int
}

// A Table is text in columns, separated by two blanks. Cells must be printable, and each row needs
// one cell per column.
type Table struct {
	Columns []Column
	Rows    [][]string
}

const (
	columnGap = "  "
	ellipsis  = "…"
	leftOut   = -1 // instead of the width of a column that is left out
)

// Lines returns the lines of the table, the titles first. If the table is wider than the given
// number of terminal columns, Lines cuts cells and leaves out columns as far as allowed; the result
// may still be too wide. 0 means no limit.
func (t Table) Lines(columns int) []string {
	widths := t.widths()
	if columns > 0 {
		for t.minWidth(widths) > columns && t.leaveOut(widths) {
		}
		t.narrow(widths, columns)
	}
	lines := []string{t.line(t.titles(), widths)}
	for _, row := range t.Rows {
		lines = append(lines, t.line(row, widths))
	}
	return lines
}

// Width returns the full width of the table.
func (t Table) Width() int { return sum(t.widths()) }

func (t Table) titles() []string {
	var titles []string
	for _, c := range t.Columns {
		titles = append(titles, c.Title)
	}
	return titles
}

// widths returns the full widths of the columns.
func (t Table) widths() []int {
	var widths []int
	for i, c := range t.Columns {
		width := textWidth(c.Title)
		for _, row := range t.Rows {
			width = max(width, textWidth(row[i]))
		}
		widths = append(widths, width)
	}
	return widths
}

// minWidth returns the width of the table with all cells cut as far as allowed.
func (t Table) minWidth(widths []int) int {
	narrowest := slices.Clone(widths)
	for i, c := range t.Columns {
		if c.MinWidth > 0 {
			narrowest[i] = min(widths[i], c.MinWidth)
		}
	}
	return sum(narrowest)
}

// leaveOut leaves out the most optional column, and returns false if there is none.
func (t Table) leaveOut(widths []int) bool {
	least := -1
	for i, c := range t.Columns {
		if c.Optional > 0 && widths[i] != leftOut && (least < 0 || c.Optional > t.Columns[least].Optional) {
			least = i
		}
	}
	if least >= 0 {
		widths[least] = leftOut
	}
	return least >= 0
}

// narrow reduces the widths, always of the widest column that may be cut, until the table fits or
// no more columns may be cut.
func (t Table) narrow(widths []int, columns int) {
	for sum(widths) > columns {
		widest := -1
		for i, c := range t.Columns {
			if c.MinWidth > 0 && widths[i] > c.MinWidth && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

// sum returns the width of a table with columns of these widths.
func sum(widths []int) int {
	total := -len(columnGap)
	for _, w := range widths {
		if w != leftOut {
			total += len(columnGap) + w
		}
	}
	return total
}

// line returns a row as text, without padding at its end.
func (t Table) line(row []string, widths []int) string {
	var cells []string
	for i, cell := range row {
		if widths[i] != leftOut {
			cell = cut(cell, widths[i])
			cells = append(cells, cell+strings.Repeat(" ", widths[i]-textWidth(cell)))
		}
	}
	return strings.TrimRight(strings.Join(cells, columnGap), " ")
}

// cut shortens a text to a number of columns, with an ellipsis at the end if it was longer.
func cut(text string, columns int) string {
	if textWidth(text) <= columns {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && textWidth(string(runes))+textWidth(ellipsis) > columns {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + ellipsis
}

// wide has the characters that take two columns on a terminal, and some that may.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, // Hangul
		{Lo: 0x231a, Hi: 0x2bff, Stride: 1}, // symbols
		{Lo: 0x2e80, Hi: 0xa4cf, Stride: 1}, // of China and Japan
		{Lo: 0xa960, Hi: 0xa97f, Stride: 1}, // Hangul
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, // Hangul
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1}, // of China and Japan
		{Lo: 0xfe10, Hi: 0xfe6f, Stride: 1}, // their punctuation
		{Lo: 0xff01, Hi: 0xff60, Stride: 1}, // full width
		{Lo: 0xffe0, Hi: 0xffe6, Stride: 1}, // full width
	},
	R32: []unicode.Range32{{Lo: 0x16fe0, Hi: 0x3ffff, Stride: 1}}, // emoji, and more of China and Japan
}

// textWidth returns the number of columns of a text on a terminal, or an upper bound.
func textWidth(text string) int {
	width := 0
	for _, r := range text {
		width++
		if unicode.Is(wide, r) {
			width++
		}
	}
	return width
}
