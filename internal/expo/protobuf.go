package expo

import (
	"encoding/binary"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Protobuf is the Prometheus protobuf format: length-delimited messages of type
// io.prometheus.client.MetricFamily. The encoder writes them directly from the page: a sample has
// few fields, and most of them are the same for all samples of a source.
type Protobuf struct{}

func (Protobuf) contentType(mediaType string, params map[string]string) string {
	if mediaType != "application/vnd.google.protobuf" || params["proto"] != "io.prometheus.client.MetricFamily" || params["encoding"] != "delimited" {
		return ""
	}
	return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
}

// Field tags on the wire. All field numbers are below 16, so each tag is one byte.
const (
	labelName  = 1<<3 | byte(protowire.BytesType)
	labelValue = 2<<3 | byte(protowire.BytesType)

	familyName   = 1<<3 | byte(protowire.BytesType)
	familyHelp   = 2<<3 | byte(protowire.BytesType)
	familyType   = 3<<3 | byte(protowire.VarintType)
	familyMetric = 4<<3 | byte(protowire.BytesType)

	metricLabel     = 1<<3 | byte(protowire.BytesType)
	metricGauge     = 2<<3 | byte(protowire.BytesType)
	metricCounter   = 3<<3 | byte(protowire.BytesType)
	metricTime      = 6<<3 | byte(protowire.VarintType)
	metricHistogram = 7<<3 | byte(protowire.BytesType)

	simpleValue  = 1<<3 | byte(protowire.Fixed64Type) // of a gauge or a counter
	counterStart = 3<<3 | byte(protowire.BytesType)

	histogramCount  = 1<<3 | byte(protowire.VarintType)
	histogramSum    = 2<<3 | byte(protowire.Fixed64Type)
	histogramBucket = 3<<3 | byte(protowire.BytesType)
	histogramStart  = 15<<3 | byte(protowire.BytesType)

	bucketCount = 1<<3 | byte(protowire.VarintType)
	bucketBound = 2<<3 | byte(protowire.Fixed64Type)

	startSeconds = 1<<3 | byte(protowire.VarintType)
	startNanos   = 2<<3 | byte(protowire.VarintType)
)

const sizeDouble = 1 + 8 // with the tag of the field

// protoTypes are the values of the enum MetricType.
var protoTypes = [...]byte{schema.Counter: 0, schema.Gauge: 1, schema.Histogram: 4}

// protoLabels is the syntax of labels as fields of a metric.
var protoLabels = &syntax{append: func(b []byte, name, value string) []byte {
	value = strings.ToValidUTF8(value, "\uFFFD")
	b = append(b, metricLabel)
	b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(name))+protowire.SizeBytes(len(value))))
	b = protowire.AppendString(append(b, labelName), name)
	return protowire.AppendString(append(b, labelValue), value)
}}

// Append implements Format.
func (Protobuf) Append(b []byte, p *page.Page) []byte {
	x := proto{walk: p.Walk(), sources: newSources(p, protoLabels, appendProtoTime, appendProtoStart)}
	b = appendProcess(b, p.Process, protobufFamily)
	for i := range p.Families {
		b = x.appendFamily(b, &p.Families[i])
	}
	return b
}

// proto is the state for rendering one page.
type proto struct {
	walk    *page.Walk
	sources []source // of the page, by index
}

// sizeLength is the usual size of the length of a family, in bytes: most families take
// 16 KB to 2 MB.
const sizeLength = 3

func (x *proto) appendFamily(b []byte, f *page.Family) []byte {
	from, empty := len(b), true
	for src, samples := range x.walk.Samples(f) {
		if empty {
			b = append(b, make([]byte, sizeLength)...)
			b = appendProtoHead(b, f)
			empty = false
		}
		m, with := src.Metric(samples[0]), &x.sources[src.Index]
		for _, s := range samples {
			ins := with.insertion(m, src, s)
			if f.Type == schema.Histogram {
				b = with.appendHistogram(b, f, m, ins, src.Histogram(s))
			} else {
				b = with.appendSimple(b, f.Type, ins, protoValue(f, m, src, s))
			}
		}
	}
	if empty {
		return b
	}
	return setLength(b, from)
}

// setLength sets the length of the message that begins sizeLength bytes after from. It moves the
// message if the length takes a different number of bytes.
func setLength(b []byte, from int) []byte {
	body := from + sizeLength
	length := uint64(len(b) - body)
	if n := protowire.SizeVarint(length); n != sizeLength {
		b = append(b, make([]byte, max(0, n-sizeLength))...)
		copy(b[from+n:], b[body:body+int(length)])
		b = b[:from+n+int(length)]
	}
	protowire.AppendVarint(b[:from], length)
	return b
}

func appendProtoHead(b []byte, f *page.Family) []byte {
	b = protowire.AppendString(append(b, familyName), f.Name)
	b = protowire.AppendString(append(b, familyHelp), strings.ToValidUTF8(f.Help, "\uFFFD"))
	return append(b, familyType, protoTypes[f.Type])
}

// protoValue returns the value of a sample of a gauge or counter.
func protoValue(f *page.Family, m *schema.Metric, src *page.Source, s snapshot.Sample) float64 {
	switch {
	case f.Part != page.Whole:
		return f.Part.Of(src.Histogram(s)).AsFloat() / float64(f.PartPerSecond())
	case m.Float:
		return s.Float()
	}
	return float64(s.Value) / float64(f.PerSecond)
}

// appendMetric appends the start of a metric: its labels, and the tag and length of a value of size
// bytes. The caller appends the value and the time.
func (s *source) appendMetric(b []byte, ins *insertion, value byte, size int) []byte {
	labels := len(s.labels.block)
	if ins != nil {
		labels += ins.size
	}
	b = append(b, familyMetric)
	b = protowire.AppendVarint(b, uint64(labels+1+protowire.SizeBytes(size)+len(s.time)))
	b = s.labels.append(b, ins)
	return protowire.AppendVarint(append(b, value), uint64(size))
}

func (s *source) appendSimple(b []byte, t schema.Type, ins *insertion, value float64) []byte {
	if t == schema.Counter && len(s.start) > 0 {
		b = s.appendMetric(b, ins, metricCounter, sizeDouble+1+len(s.start))
		b = appendDouble(b, simpleValue, value)
		b = append(append(b, counterStart), s.start...)
		return append(b, s.time...)
	}
	field := metricGauge
	if t == schema.Counter {
		field = metricCounter
	}
	b = s.appendMetric(b, ins, field, sizeDouble)
	b = appendDouble(b, simpleValue, value)
	return append(b, s.time...)
}

// appendHistogram appends a histogram metric. Prometheus buckets are cumulative.
func (s *source) appendHistogram(b []byte, f *page.Family, m *schema.Metric, ins *insertion, h *snapshot.Histogram) []byte {
	size, count := 0, uint64(0)
	for _, n := range h.Counts {
		count += n
		size += 2 + sizeBucket(count)
	}
	size += 1 + protowire.SizeVarint(count) + sizeDouble
	if len(s.start) > 0 {
		size += 1 + len(s.start)
	}
	b = s.appendMetric(b, ins, metricHistogram, size)
	b = protowire.AppendVarint(append(b, histogramCount), count)
	b = appendDouble(b, histogramSum, h.Total.AsFloat()/float64(f.PerSecond))
	count = 0
	for i, n := range h.Counts {
		count += n
		bound := math.Inf(1)
		if i < len(m.Bounds) {
			bound = float64(m.Bounds[i]) / float64(f.PerSecond)
		}
		b = append(b, histogramBucket, byte(sizeBucket(count)))
		b = protowire.AppendVarint(append(b, bucketCount), count)
		b = appendDouble(b, bucketBound, bound)
	}
	if len(s.start) > 0 {
		b = append(append(b, histogramStart), s.start...)
	}
	return append(b, s.time...)
}

func sizeBucket(count uint64) int { return 1 + protowire.SizeVarint(count) + sizeDouble }

func appendDouble(b []byte, field byte, value float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, field), math.Float64bits(value))
}

// appendProtoTime appends the time of a metric, in milliseconds.
func appendProtoTime(b []byte, ms int64) []byte {
	return protowire.AppendVarint(append(b, metricTime), uint64(ms))
}

// appendProtoStart appends a google.protobuf.Timestamp with its length. ns is in nanoseconds.
func appendProtoStart(b []byte, ns int64) []byte {
	seconds, nanos := uint64(ns/1e9), uint64(ns%1e9)
	b = append(b, byte(2+protowire.SizeVarint(seconds)+protowire.SizeVarint(nanos)))
	b = protowire.AppendVarint(append(b, startSeconds), seconds)
	return protowire.AppendVarint(append(b, startNanos), nanos)
}
