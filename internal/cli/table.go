package cli

import (
	"slices"
	"strings"
	"unicode"
)

// A Column of a table.
type Column struct {
	Title string
	// MinWidth is how narrow the column may become where a table is too wide: longer cells are cut and end in an ellipsis. 0: its cells are
	// never cut.
	MinWidth int
	// Optional columns are left out where a table is still too wide, those with the highest numbers first. 0: the column is always there.
	Optional int
}

// A Table is text in columns, two blanks apart. Cells are printable, and there are as many in a row as there are columns.
type Table struct {
	Columns []Column
	Rows    [][]string
}

const (
	columnGap = "  "
	ellipsis  = "…"
)

// Lines returns the table with its titles in the first line. Where that is too wide for a terminal of so many columns, cells are cut and
// columns left out; the lines are still wider if nothing more can go. 0 columns are any number.
func (t Table) Lines(columns int) []string {
	widths := t.widths()
	if columns > 0 {
		for t.minWidth(widths) > columns && t.leaveOut() {
			widths = t.widths()
		}
		t.narrow(widths, columns)
	}
	lines := []string{t.line(t.titles(), widths)}
	for _, row := range t.Rows {
		lines = append(lines, t.line(row, widths))
	}
	return lines
}

// Width returns how wide the table is if nothing is cut or left out.
func (t Table) Width() int { return sum(t.widths()) }

func (t Table) titles() []string {
	var titles []string
	for _, c := range t.Columns {
		titles = append(titles, c.Title)
	}
	return titles
}

// widths returns how wide the columns are.
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

// minWidth returns how wide the table is when all cells are cut that may be.
func (t Table) minWidth(widths []int) int {
	narrowest := slices.Clone(widths)
	for i, c := range t.Columns {
		if c.MinWidth > 0 {
			narrowest[i] = min(widths[i], c.MinWidth)
		}
	}
	return sum(narrowest)
}

// leaveOut removes the column that is most optional, if there is one. The table that it was copied from keeps its columns.
func (t *Table) leaveOut() bool {
	least := 0
	for i, c := range t.Columns {
		if c.Optional > t.Columns[least].Optional {
			least = i
		}
	}
	if t.Columns[least].Optional == 0 {
		return false
	}
	t.Columns = slices.Delete(slices.Clone(t.Columns), least, least+1)
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = slices.Delete(slices.Clone(row), least, least+1)
	}
	t.Rows = rows
	return true
}

// narrow makes the widest column that may be cut narrower until the table fits or none may.
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
	total := len(columnGap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	return total
}

// line returns a row, padded but for its end.
func (t Table) line(row []string, widths []int) string {
	var line strings.Builder
	for i, cell := range row {
		if i > 0 {
			line.WriteString(columnGap)
		}
		cell = cut(cell, widths[i])
		line.WriteString(cell)
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-textWidth(cell)))
		}
	}
	return line.String()
}

// cut returns as much of a text as fits into columns, with an ellipsis if that is not all.
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

// wide are the characters that take two columns on a terminal, and some between them that may.
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

// textWidth returns how many columns a text takes on a terminal, or more.
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
