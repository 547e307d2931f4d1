package metricclient

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// comment is a HELP or TYPE line. Any other comment is the zero value.
type comment struct {
	keyword string // HELP or TYPE
	family  string
	text    string // the help text without its escapes, or the type
}

// parseComment reads a line that begins with #. With an error, keyword and family are what could be read.
//
// As in Prometheus's library, blanks before the keyword may be missing, and a keyword without anything behind it is any other comment.
func parseComment(line string) (c comment, err error) {
	keyword, rest := cutToken(line[len("#"):])
	if keyword != "HELP" && keyword != "TYPE" || rest == "" {
		return comment{}, nil
	}
	c.keyword = keyword
	name, rest := cutName(rest)
	text := strings.TrimLeft(rest, blanks)
	if name == "" || rest != "" && text == rest {
		return c, malformed(line, errors.New("no metric name"))
	}
	c.family = name
	if keyword == "HELP" {
		c.text, err = unescapeHelp(text)
	} else {
		c.text, err = checkType(strings.TrimRight(text, blanks))
	}
	if err != nil {
		return c, malformed(line, err)
	}
	return c, nil
}

// checkType returns a type that the format has.
func checkType(kind string) (string, error) {
	switch kind {
	case "counter", "gauge", "histogram", "summary", "untyped":
		return kind, nil
	}
	return "", errors.New("an unknown type")
}

// unescapeHelp returns a help text without its escapes.
func unescapeHelp(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("a help text that is not UTF-8")
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after == "" {
			return "", errors.New("a backslash at the end of a help text")
		}
		c, err := unescape(after[0])
		if err != nil {
			return "", err
		}
		b.WriteByte(c)
		text = after[1:]
	}
}

// describes reports whether a comment is about the family that a metric belongs to: the metric itself, or a histogram or summary that it
// is a part of.
func (c comment) describes(metric string) bool {
	part, ok := strings.CutPrefix(metric, c.family)
	switch part {
	case "":
		return ok && c.family != ""
	case "_sum", "_count":
		return ok && (c.text == "histogram" || c.text == "summary")
	case "_bucket":
		return ok && c.text == "histogram"
	}
	return false
}
