package metricclient

import (
	"strconv"
	"strings"
	"unicode"
)

// maxExcerpt is how many bytes of a line that somebody else wrote get into an error.
const maxExcerpt = 200

// excerpt returns the first line of a text that somebody else wrote, cut to a sensible length and fit for a terminal.
func excerpt(text string) string {
	line, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	line = strings.TrimRight(line, "\r")
	if len(line) <= maxExcerpt {
		return printable(line)
	}
	return printable(strings.ToValidUTF8(line[:maxExcerpt], "")) + "…"
}

// printable returns s with everything escaped that would not show on a terminal, or do more than show.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
