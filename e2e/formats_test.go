package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/sandmeter/sandmeter/internal/expo"
	pagepkg "github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/simulate"
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

// response is a page as it was sent.
type response struct {
	contentType, encoding string
	page                  []byte // decoded
}

// fetch gets a page from a server at a Unix socket, with the headers that Prometheus sends.
func (w *world) fetch(accept, encoding string) response {
	w.t.Helper()
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.addr)
		},
	}
	request, err := http.NewRequestWithContext(w.ctx(), http.MethodGet, "http://server/metrics", nil)
	w.must(err)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	r, err := transport.RoundTrip(request)
	w.must(err)
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		w.t.Fatalf("%s, %s: status %s", accept, encoding, r.Status)
	}
	body, err := io.ReadAll(r.Body)
	w.must(err)
	got := response{r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), body}
	if got.encoding == "gzip" {
		unzipped, err := gzip.NewReader(bytes.NewReader(body))
		w.must(err)
		got.page, err = io.ReadAll(unzipped)
		w.must(err)
	}
	return got
}

// The servers below serve one snapshot for as long as a test lasts.
const oneSnapshot = "--max-age=1h"

// TestFormatsOfRealSandboxes: whatever Prometheus negotiates, the page has the same series, values, times and types, and where the format
// has starts, they are when the sandboxes were created and when the server started.
func TestFormatsOfRealSandboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb-plain", "idle")
	w.start("sb-busy", "busy")
	before := time.Now()
	w.startServer(w.serveArgs(oneSnapshot))
	checkServedFormats(w, 2, before)
}

// TestFormatsOfDistributions is the same for what real sandboxes hardly ever have.
func TestFormatsOfDistributions(t *testing.T) {
	t.Parallel()
	w := newSimulatedWorld(t)
	registration, points := simulate.WithDistribution()
	for _, id := range []string{"a", "b"} {
		w.simulate(simulate.Spec{ID: id, Registration: registration, Points: points, Pod: "web-1", Namespace: "shop"})
	}
	before := time.Now()
	w.startServer(w.serveArgs(oneSnapshot))
	checkServedFormats(w, 2, before)
}

func checkServedFormats(w *world, sandboxes int, before time.Time) {
	w.t.Helper()
	text := w.fetch(acceptText, "identity")
	want, err := readScraped(text.page, text.contentType)
	w.must(err)
	starts := wantStarts(want.readBack, before)
	if len(starts) < 5*sandboxes {
		w.t.Fatalf("%d series that count on the page\n%s", len(starts), text.page)
	}
	for accept, contentType := range map[string]string{
		"":                "text/plain; version=0.0.4; charset=utf-8",
		acceptText:        "text/plain; version=0.0.4; charset=utf-8",
		acceptText1:       "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
		acceptOpenMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
		acceptProtobuf:    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
	} {
		for encoding, wantEncoding := range map[string]string{"identity": "", "gzip": "gzip"} {
			r := w.fetch(accept, encoding)
			if r.contentType != contentType || r.encoding != wantEncoding {
				w.t.Errorf("%q, %s: the page is %s, %q", accept, encoding, r.contentType, r.encoding)
			}
			got, err := readScraped(r.page, r.contentType)
			if err != nil {
				w.t.Fatalf("%s: %v\n%q", r.contentType, err, r.page)
			}
			same := want.readBack
			if accept == acceptOpenMetrics {
				same = want.asOpenMetrics()
			}
			got.compare(w.t, same, r.contentType, r.page)
			if accept == acceptProtobuf {
				got.compareStarts(w.t, starts)
			} else if len(got.starts) > 0 {
				w.t.Errorf("text has starts: %v", got.starts)
			}
		}
	}
}

// startSpan is what a start has to be within, in milliseconds.
type startSpan struct{ from, to int64 }

// wantStarts returns when the series that count should have been 0: those of a sandbox when it was created, and those of the server when its
// process started, which was after before.
func wantStarts(r readBack, before time.Time) map[string]startSpan {
	created := map[string]int64{}
	for series, value := range r.values {
		if rest, ok := strings.CutPrefix(series, "runsc_meta_sandbox_creation_time_seconds{"); ok {
			created[sandboxOf(rest)] = int64(value * 1000)
		}
	}
	spans := map[string]startSpan{}
	for series := range r.values {
		name, rest, _ := strings.Cut(series, "{")
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			family := strings.TrimSuffix(name, suffix)
			if kind := r.kind[family]; kind != "counter" && kind != "histogram" {
				continue
			}
			if at, ok := created[sandboxOf(rest)]; ok {
				spans[series] = startSpan{at - 1, at + 1}
			} else {
				spans[series] = startSpan{before.UnixMilli(), time.Now().UnixMilli()}
			}
			break
		}
	}
	return spans
}

// sandboxOf returns the label sandbox of a series as seriesText writes it.
func sandboxOf(series string) string {
	_, rest, _ := strings.Cut(series, `sandbox="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// compareStarts fails the test if a series that counts has no start or a wrong one, and if another one has any.
func (s scraped) compareStarts(t *testing.T, want map[string]startSpan) {
	t.Helper()
	for _, series := range slices.Sorted(maps.Keys(s.values)) {
		span, counts := want[series]
		got, has := s.starts[series]
		if counts != has || has && (got < span.from || got > span.to) {
			t.Errorf("%s has the start %d (there: %t), want one within %d and %d (there: %t)", series, got, has, span.from, span.to, counts)
		}
	}
}
