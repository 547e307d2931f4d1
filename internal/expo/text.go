package expo

import (
	"strconv"

	"github.com/prometheus/common/expfmt"

	"github.com/sandmeter/sandmeter/internal/page"
)

// Text is the Prometheus text format. Versions 0.0.4 and 1.0.0 differ only in names that need
// quotes, and no name here needs them.
type Text struct{}

// contentTypeText is the Content-Type of version 0.0.4, the default format.
const contentTypeText = "text/plain; version=0.0.4; charset=utf-8"

func (Text) contentType(mediaType string, params map[string]string) string {
	if mediaType != "text/plain" {
		return ""
	}
	switch params["version"] {
	case "", "0.0.4":
		return contentTypeText
	case "1.0.0":
		return "text/plain; version=1.0.0; charset=utf-8"
	}
	return ""
}

// Append implements Format.
func (Text) Append(b []byte, p *page.Page) []byte {
	l := lines{
		walk:        p.Walk(),
		sources:     newSources(p, textLabels, appendMilliseconds, nil),
		help:        plainText,
		appendBound: appendInt,
	}
	b = appendProcess(b, p.Process, expfmt.MetricFamilyToText)
	for i := range p.Families {
		f := &p.Families[i]
		b = l.appendFamily(b, f, head{name: f.Name, kind: f.Type.String()})
	}
	return b
}

// appendMilliseconds appends the time of a sample, in milliseconds, and the end of the line.
func appendMilliseconds(b []byte, ms int64) []byte {
	return append(strconv.AppendInt(append(b, ' '), ms, 10), '\n')
}
