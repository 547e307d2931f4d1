package metricclient

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// comment is a HELP or TYPE line. The zero value stands for any other comment.
type comment struct {
	keyword string // HELP or TYPE
	family  string
	text    string // the unescaped help text, or the type
}

// parseComment parses a line that begins with #. On error, it returns the keyword and the family as
// far as they are readable.
//
// As in the Prometheus library, blanks before the keyword are optional, and a keyword with nothing
// after it is an ordinary comment.
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

// checkType returns kind if it is a type of the text format, or an error.
func checkType(kind string) (string, error) {
	switch kind {
	case "counter", "gauge", "histogram", "summary", "untyped":
		return kind, nil
	}
	return "", errors.New("an unknown type")
}

// unescapeHelp returns the unescaped help text.
func unescapeHelp(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("a help text that is not UTF-8")
	}
	return unescape(text)
}

// describes reports whether a comment is about the family of a metric: the metric itself, or the
// histogram or summary that the metric is part of.
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
