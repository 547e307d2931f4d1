package expo

import (
	"iter"
	"mime"
	"slices"
	"strconv"
	"strings"
)

// Negotiate chooses a format for a client that sends these Accept headers, and returns it with its
// Content-Type. Among the media types that match an offered format, the highest q wins, then the
// more specific type, then the first. If no type matches, or there is no Accept header, the client
// gets version 0.0.4 of the text format.
func Negotiate(accept []string, offered []Format) (chosen Format, contentType string) {
	chosen, contentType = Text{}, contentTypeText
	var best choice
	for c := range choices(accept) {
		if !c.better(&best) {
			continue
		}
		if c.name == "*/*" || c.name == "text/*" {
			best, chosen, contentType = c, Text{}, contentTypeText
			continue
		}
		for _, f := range offered {
			if t := f.contentType(c.name, c.params); t != "" {
				best, chosen, contentType = c, f, t+c.escaping()
				break
			}
		}
	}
	return chosen, contentType
}

// A choice is an element of an Accept or Accept-Encoding header.
type choice struct {
	name   string // in lower case
	params map[string]string
	q      float64 // from 0 to 1
}

// choices returns the valid elements of headers, in order. An invalid q counts as 1, like in
// Prometheus exporters.
func choices(headers []string) iter.Seq[choice] {
	return func(yield func(choice) bool) {
		for _, header := range headers {
			for text := range strings.SplitSeq(header, ",") {
				name, params, err := mime.ParseMediaType(text)
				if err != nil {
					continue
				}
				q, err := strconv.ParseFloat(params["q"], 64)
				if err != nil || !(q >= 0 && q <= 1) {
					q = 1
				}
				if !yield(choice{name, params, q}) {
					return
				}
			}
		}
	}
}

// better reports whether the client prefers the choice to the best choice so far. The q of best is
// 0 if there is none.
func (c *choice) better(best *choice) bool {
	return c.q > best.q || c.q == best.q && c.q > 0 && c.wildcards() < best.wildcards()
}

func (c *choice) wildcards() int { return strings.Count(c.name, "*") }

// escapings are the known values of the parameter escaping. No name here needs escaping, so all of
// them give the same page.
var escapings = []string{"allow-utf-8", "underscores", "dots", "values"}

// escaping returns the parameter that confirms the escaping that the client requested, or "" if the
// client requested none.
func (c *choice) escaping() string {
	if way := c.params["escaping"]; slices.Contains(escapings, way) {
		return "; escaping=" + way
	}
	return ""
}
