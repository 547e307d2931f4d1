package expo

import (
	"iter"
	"mime"
	"slices"
	"strconv"
	"strings"
)

// Negotiate chooses a format for a client that sends these Accept headers, and returns it with its Content-Type. Of the types that one of the
// offered formats serves, the one with the highest q wins, and of several the more specific one, then the first. A client that accepts none
// of them, or sends no such header, gets the text format 0.0.4.
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
	q      float64 // above 0 and up to 1
}

// choices returns the elements of headers but those that cannot be read, in their order. A q that is none counts as 1, as with Prometheus's
// exporters.
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

// better reports whether the client prefers the choice to the best one so far, whose q is 0 if there is none.
func (c *choice) better(best *choice) bool {
	return c.q > best.q || c.q == best.q && c.q > 0 && c.wildcards() < best.wildcards()
}

func (c *choice) wildcards() int { return strings.Count(c.name, "*") }

// escapings are the ways to write names that need it. No name here does, so all are the same.
var escapings = []string{"allow-utf-8", "underscores", "dots", "values"}

// escaping returns the parameter that tells a client that its way to escape is kept to, and "" for one that asked for none.
func (c *choice) escaping() string {
	if way := c.params["escaping"]; slices.Contains(escapings, way) {
		return "; escaping=" + way
	}
	return ""
}
