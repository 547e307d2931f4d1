package metricserver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// protobufText returns a page of delimited protobuf messages as text, with all fields. Each family, metric,
// and bucket is a line. The output of Go's package prototext is not stable.
func protobufText(t *testing.T, page []byte) string {
	t.Helper()
	var b strings.Builder
	for r := bufio.NewReader(bytes.NewReader(page)); ; {
		f := new(dto.MetricFamily)
		err := protodelim.UnmarshalOptions{MaxSize: -1}.UnmarshalFrom(r, f)
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFamily(&b, f)
	}
}

func writeFamily(b *strings.Builder, f *dto.MetricFamily) {
	fmt.Fprintf(b, "family %s %s unit=%q %q\n", f.GetName(), f.GetType(), f.GetUnit(), f.GetHelp())
	for _, m := range f.Metric {
		labels, end := labelsText(m), "\n"
		if m.TimestampMs != nil {
			end = fmt.Sprintf(" %d\n", m.GetTimestampMs())
		}
		known := &dto.Metric{Label: m.Label, TimestampMs: m.TimestampMs, Gauge: m.Gauge, Counter: m.Counter, Histogram: m.Histogram}
		switch {
		case !proto.Equal(known, m):
			fmt.Fprintf(b, "%s%s has fields that this text lacks\n", f.GetName(), labels)
		case m.Gauge != nil:
			fmt.Fprintf(b, "%s%s %v%s", f.GetName(), labels, m.Gauge.GetValue(), end)
		case m.Counter != nil:
			fmt.Fprintf(b, "%s%s %v created=%s%s", f.GetName(), labels, m.Counter.GetValue(), timeText(m.Counter.CreatedTimestamp), end)
		case m.Histogram != nil:
			writeHistogram(b, f.GetName(), labels, m.Histogram, end)
		}
	}
}

func writeHistogram(b *strings.Builder, name, labels string, h *dto.Histogram, end string) {
	for _, bucket := range h.Bucket {
		le := strconv.FormatFloat(bucket.GetUpperBound(), 'g', -1, 64)
		fmt.Fprintf(b, "%s_bucket%s,le=%q} %d\n", name, strings.TrimSuffix(labels, "}"), le, bucket.GetCumulativeCount())
	}
	fmt.Fprintf(b, "%s_sum%s %v\n", name, labels, h.GetSampleSum())
	fmt.Fprintf(b, "%s_count%s %d created=%s%s", name, labels, h.GetSampleCount(), timeText(h.CreatedTimestamp), end)
}

func labelsText(m *dto.Metric) string {
	var texts []string
	for _, l := range m.Label {
		texts = append(texts, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	return "{" + strings.Join(texts, ",") + "}"
}

func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return "none"
	}
	return t.AsTime().Format("2006-01-02T15:04:05.999999999Z07:00")
}
