package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/sandmeter/sandmeter/internal/expo"
	pagepkg "github.com/sandmeter/sandmeter/internal/page"
)

// scraped is a page in a format as Prometheus's parser for its Content-Type reads it.
type scraped struct {
	readBack
	starts map[string]int64 // of series that have one, in milliseconds since the Unix epoch
}

// readScraped reads a page as Prometheus does.
func readScraped(page []byte, contentType string) (scraped, error) {
	s := scraped{newReadBack(), map[string]int64{}}
	parser, err := textparse.New(page, contentType, labels.NewSymbolTable(), textparse.ParserOptions{OpenMetricsSkipSTSeries: true})
	if err != nil {
		return s, err
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		switch entry {
		case textparse.EntryHelp:
			name, help := parser.Help()
			s.help[string(name)] = string(help)
		case textparse.EntryType:
			name, kind := parser.Type()
			s.kind[string(name)] = string(kind)
		case textparse.EntrySeries:
			err = s.addSeries(parser)
		default:
			err = fmt.Errorf("an entry of kind %v, which no page of ours has", entry)
		}
		if err != nil {
			return s, err
		}
	}
}

func (s *scraped) addSeries(parser textparse.Parser) error {
	_, at, value := parser.Series()
	var when int64 // 0: the sample has no time
	if at != nil {
		when = *at // the parser's, which it uses again when it looks for a start
	}
	var set labels.Labels
	parser.Labels(&set)
	byName := set.Map()
	name := byName[model.MetricNameLabel]
	delete(byName, model.MetricNameLabel)
	if start := parser.StartTimestamp(); start != 0 {
		s.starts[seriesText(name, byName)] = start
	}
	return s.add(name, byName, value, when)
}

// asOpenMetrics is what a page of text is as OpenMetrics: counters are called without _total there, or are of unknown type.
func (r readBack) asOpenMetrics() readBack {
	text := r
	r.help, r.kind = maps.Clone(text.help), maps.Clone(text.kind)
	for name, kind := range text.kind {
		if kind != "counter" {
			continue
		}
		base, ok := strings.CutSuffix(name, "_total")
		if _, taken := text.kind[base]; !ok || taken || base == "" {
			r.kind[name] = "unknown"
			continue
		}
		r.kind[base], r.help[base] = kind, text.help[name]
		delete(r.kind, name)
		delete(r.help, name)
	}
	return r
}

// readAsLibraryProtobuf reads a page of protobuf as readAsLibrary reads text.
func readAsLibraryProtobuf(page []byte) (readBack, error) {
	r := newReadBack()
	decoder := expfmt.NewDecoder(bytes.NewReader(page), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		family := new(dto.MetricFamily)
		if err := decoder.Decode(family); errors.Is(err, io.EOF) {
			return r, nil
		} else if err != nil {
			return r, err
		}
		name := family.GetName()
		if _, twice := r.help[name]; twice {
			return r, fmt.Errorf("%s is there twice", name)
		}
		r.help[name], r.kind[name] = family.GetHelp(), strings.ToLower(family.GetType().String())
		for _, m := range family.Metric {
			if err := r.addMetric(name, m); err != nil {
				return r, err
			}
		}
	}
}

// Accept headers, one for each format, as Prometheus writes them.
const (
	acceptText        = "text/plain;version=0.0.4"
	acceptText1       = "text/plain;version=1.0.0;escaping=allow-utf-8"
	acceptOpenMetrics = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8"
	acceptProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

// checkFormats renders a page in each format, and reads it with the parsers that there are for it: text and protobuf have the series, values,
// times and types that are wanted, OpenMetrics the same but for the types of counters.
func checkFormats(t *testing.T, p *pagepkg.Page, want readBack) {
	t.Helper()
	offered := []expo.Format{expo.Text{}, expo.OpenMetrics{}, expo.Protobuf{}}
	for _, accept := range []string{acceptText, acceptText1, acceptOpenMetrics, acceptProtobuf} {
		format, contentType := expo.Negotiate([]string{accept}, offered)
		page := format.Append(nil, p)
		readers := map[string]func([]byte) (readBack, error){"Prometheus": func(page []byte) (readBack, error) {
			s, err := readScraped(page, contentType)
			return s.readBack, err
		}}
		want := want
		switch accept {
		case acceptOpenMetrics:
			want = want.asOpenMetrics()
		case acceptProtobuf:
			readers["its library"] = readAsLibraryProtobuf
		default:
			readers["its library"] = readAsLibrary
		}
		for parser, read := range readers {
			got, err := read(page)
			if err != nil {
				t.Fatalf("%s does not read the page, %s: %v\n%q", parser, contentType, err, page)
			}
			got.compare(t, want, parser+", "+contentType, page)
		}
	}
}

// sandboxOf returns the label sandbox of a series as seriesText writes it.
func sandboxOf(series string) string {
	_, rest, _ := strings.Cut(series, `sandbox="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
