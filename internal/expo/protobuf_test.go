package expo

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// message is a parsed message: field values by field number.
type message map[protowire.Number][]any // uint64 for a varint and for the bits of a double, []byte

// parseMessage parses a message. Every number must have its shortest encoding.
func parseMessage(b []byte) (message, error) {
	m := message{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n != 1 {
			return nil, fmt.Errorf("a tag of %d bytes", n)
		}
		b = b[n:]
		var value any
		switch kind {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n != protowire.SizeVarint(v) {
				return nil, fmt.Errorf("a number of %d bytes", n)
			}
			value = v
		case protowire.Fixed64Type:
			value, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(b); n != protowire.SizeBytes(len(v)) {
				return nil, fmt.Errorf("a text of %d bytes", n)
			}
			value = v
		default:
			return nil, fmt.Errorf("a field of type %d", kind)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		m[number] = append(m[number], value)
		b = b[n:]
	}
	return m, nil
}

// must is parseMessage, but panics if b is not a valid message.
func must(b any) message {
	m, err := parseMessage(b.([]byte))
	if err != nil {
		panic(err)
	}
	return m
}

func (m message) text(n protowire.Number) string    { return string(m[n][0].([]byte)) }
func (m message) double(n protowire.Number) float64 { return math.Float64frombits(m[n][0].(uint64)) }

// parseProtobuf parses a page into the same families that parsePage returns for the text format. It
// also returns the start times of the metrics, by family name and labels.
func parseProtobuf(page []byte) (families []parsedFamily, starts map[string]time.Time) {
	starts = map[string]time.Time{}
	for len(page) > 0 {
		size, n := binary.Uvarint(page)
		if n != protowire.SizeVarint(size) || uint64(len(page)-n) < size {
			panic(fmt.Sprintf("a family of %d bytes, %d of them its length, where there are %d", size, n, len(page)))
		}
		m := must(page[n : n+int(size)])
		page = page[n+int(size):]
		f := parsedFamily{name: m.text(1), help: m.text(2), kind: map[uint64]string{0: "counter", 1: "gauge", 4: "histogram"}[m[3][0].(uint64)]}
		for _, text := range m[4] {
			f.addMetric(must(text), starts)
		}
		families = append(families, f)
	}
	return families, starts
}

func (f *parsedFamily) addMetric(m message, starts map[string]time.Time) {
	var labels []snapshot.Label
	for _, text := range m[1] {
		l := must(text)
		labels = append(labels, snapshot.Label{Name: l.text(1), Value: l.text(2)})
	}
	add := func(suffix string, labels []snapshot.Label, value float64) {
		var at int64
		if len(m[6]) > 0 {
			at = int64(m[6][0].(uint64))
		}
		f.samples = append(f.samples, parsedSample{f.name + suffix, labels, value, at})
	}
	field := map[string]protowire.Number{"gauge": 2, "counter": 3, "histogram": 7}[f.kind]
	value := must(m[field][0])
	start := value[3]
	if f.kind == "histogram" {
		start = value[15]
		for _, text := range value[3] {
			bucket := must(text)
			le := strconv.FormatFloat(bucket.double(2), 'f', -1, 64)
			at := 1 // after the iteration
			with := append(append(append([]snapshot.Label{}, labels[:at]...), snapshot.Label{Name: "le", Value: le}), labels[at:]...)
			add("_bucket", with, float64(bucket[1][0].(uint64)))
		}
		add("_sum", labels, value.double(2))
		add("_count", labels, float64(value[1][0].(uint64)))
	} else {
		add("", labels, value.double(1))
	}
	if len(start) > 0 {
		s := must(start[0])
		starts[fmt.Sprint(f.name, labels)] = time.Unix(int64(s[1][0].(uint64)), int64(s[2][0].(uint64)))
	}
}

// TestProtobuf: a page has the same content as protobuf and as text.
func TestProtobuf(t *testing.T) {
	p := build(golden(t))
	want, err := parsePage(render(p))
	if err != nil {
		t.Fatal(err)
	}
	page := Protobuf{}.Append([]byte("before"), p)
	got, starts := parseProtobuf(page[len("before"):])
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if server := map[string]time.Time{"runsc_meta_num_sandboxes_total[]": serverStart}; fmt.Sprint(starts) != fmt.Sprint(server) {
		t.Errorf("only the server has a start that is known, and got %v", starts)
	}
}

// TestProtobufStarts: counters and histograms with a known start include it.
func TestProtobufStarts(t *testing.T) {
	start := time.UnixMilli(pageTime).Add(-time.Hour + 123456789)
	_, starts := parseProtobuf(Protobuf{}.Append(nil, started(t, start)))
	want := map[string]time.Time{
		"runsc_boot[{iteration 1af6dvkjq949g} {sandbox a-plain}]":     start,
		"runsc_fs_opens[{iteration 1af6dvkjq949g} {sandbox a-plain}]": start,
		"runsc_meta_num_sandboxes_total[]":                            time.UnixMilli(pageTime - 1),
	}
	if fmt.Sprint(starts) != fmt.Sprint(want) {
		t.Errorf("got\n%v\nwant\n%v", starts, want)
	}
}

// started returns the page of the golden snapshot with a start for the first sandbox, and a late one for
// the server. The start of the second sandbox is not earlier than its samples.
func started(t *testing.T, start time.Time) *page.Page {
	snap := golden(t)
	snap.Sandboxes[0].Reported.Start = start.UnixNano()
	snap.Sandboxes[1].Reported.Start = time.UnixMilli(snap.Sandboxes[1].Reported.Time).UnixNano()
	return buildSince(time.UnixMilli(pageTime-1), snap)
}

// TestSetLength: messages whose length takes one to four bytes.
func TestSetLength(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1<<21 - 1, 1 << 21, 3 << 21} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		b := setLength(append([]byte("before???"), body...), len("before"))
		if string(b[:6]) != "before" {
			t.Fatalf("%d: %q", size, b[:6])
		}
		got, n := protowire.ConsumeBytes(b[6:])
		if n != len(b)-6 || n != protowire.SizeBytes(size) || string(got) != body {
			t.Errorf("a message of %d bytes reads back as one of %d in %d", size, len(got), n)
		}
	}
}

// FuzzProtobuf: any texts and numbers in a metric survive a round trip.
func FuzzProtobuf(f *testing.F) {
	fuzz(f, func(p *page.Page) ([]parsedFamily, error) {
		families, _ := parseProtobuf(Protobuf{}.Append(nil, p))
		return families, nil
	})
}
