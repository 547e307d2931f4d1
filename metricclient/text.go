package metricclient

import (
	"strconv"
	"strings"
	"unicode"
)

// maxExcerpt is the maximum number of bytes of an excerpt in an error.
const maxExcerpt = 200

// excerpt returns the first line of a text from another process, truncated and safe to print on a
// terminal.
func excerpt(text string) string {
	line, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	line = strings.TrimRight(line, "\r")
	if len(line) <= maxExcerpt {
		return printable(line)
	}
	return printable(strings.ToValidUTF8(line[:maxExcerpt], "")) + "…"
}

// printable escapes the characters of s that are invisible on a terminal or control it.
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
