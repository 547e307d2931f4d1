package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

var (
	validName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	validLabel = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// reservedPrefix begins the names of the server's own metrics.
const reservedPrefix = "meta_"

// reservedNames are the process metrics of Prometheus's guidelines for client libraries. They
// describe the server itself.
var reservedNames = []string{
	"process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_virtual_memory_bytes",
	"process_virtual_memory_max_bytes", "process_resident_memory_bytes", "process_heap_bytes", "process_start_time_seconds",
	"process_threads",
}

// reservedLabels are the labels that the server adds to a sandbox's series.
var reservedLabels = []string{"sandbox", "iteration", "pod_name", "namespace_name", "runtime_root", "le"}

// ValidName reports whether a name, as a metric is registered, is valid.
func ValidName(name string) bool { return validName.MatchString(name) }

// HistogramSuffixes are the suffixes of the names of a histogram's series on a page.
var HistogramSuffixes = []string{"_bucket", "_count", "_sum", "_min", "_max", "_ssd"}

// Types in a registration.
const (
	registeredUint64       = 0
	registeredDistribution = 1
)

// registeredNanoseconds is the number of the only unit in a registration that pages convert.
const registeredNanoseconds = 1

// Compile compiles a registration, and keeps none of its bytes. The error is a *RefusedError.
func Compile(registration []byte) (*Schema, error) {
	if !utf8.Valid(registration) {
		return nil, &RefusedError{Rule: "not UTF-8"} // two different texts could become equal on a page
	}
	metrics, err := parse(registration)
	if err != nil {
		return nil, &RefusedError{Rule: err.Error()}
	}
	s := &Schema{Metrics: make([]Metric, 0, len(metrics))}
	for i := range metrics {
		m, err := metrics[i].compile()
		if err != nil {
			return nil, err
		}
		s.Metrics = append(s.Metrics, m)
	}
	if err := checkNames(s.Metrics); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return s, nil
}

// registered is a metric as it stands in the registration.
type registered struct {
	name, prometheusName, description string
	cumulative                        bool
	kind, units                       int64
	fields                            []Field
	bounds                            []int64
}

func parse(registration []byte) ([]registered, error) {
	var metrics []registered
	s := jscan.New(registration)
	for s.Object(); s.More(); {
		switch string(s.Key()) {
		case "metrics":
			if s.Null() {
				continue
			}
			for s.Array(); s.More(); {
				if len(metrics) == MaxMetrics {
					return nil, fmt.Errorf("more than %d metrics", MaxMetrics)
				}
				metrics = append(metrics, parseMetric(&s))
			}
		default:
			s.Skip()
		}
	}
	return metrics, s.End()
}

func parseMetric(s *jscan.Scanner) registered {
	var m registered
	for s.Object(); s.More(); {
		switch string(s.Key()) {
		case "name":
			m.name = string(s.Str())
		case "prometheus_name":
			m.prometheusName = string(s.Str())
		case "description":
			m.description = string(s.Str())
		case "cumulative":
			m.cumulative = s.Bool()
		case "type":
			m.kind = s.Int()
		case "units":
			m.units = s.Int()
		case "fields":
			m.fields = parseList(s, parseField)
		case "distribution_bucket_lower_bounds":
			m.bounds = parseList(s, (*jscan.Scanner).Int)
		default:
			s.Skip()
		}
	}
	return m
}

func parseField(s *jscan.Scanner) Field {
	var f Field
	for s.Object(); s.More(); {
		switch string(s.Key()) {
		case "field_name":
			f.Name = string(s.Str())
		case "allowed_values":
			f.Values = parseList(s, func(s *jscan.Scanner) string { return string(s.Str()) })
		default:
			s.Skip()
		}
	}
	return f
}

// parseList reads an array; a null counts as an empty one.
func parseList[T any](s *jscan.Scanner, element func(*jscan.Scanner) T) []T {
	if s.Null() {
		return nil
	}
	var list []T
	for s.Array(); s.More(); {
		list = append(list, element(s))
	}
	return list
}

// compile checks a metric by itself; checkNames compares it with others.
func (r *registered) compile() (Metric, error) {
	m := Metric{Name: r.prometheusName, Help: r.description, Fields: r.fields}
	refuse := func(format string, args ...any) (Metric, error) {
		return m, &RefusedError{m.Name, fmt.Sprintf(format, args...)}
	}
	switch {
	case r.name == "" || r.prometheusName == "":
		return refuse("the name is empty")
	case len(r.name) > MaxText || len(r.prometheusName) > MaxText || len(r.description) > MaxText:
		return refuse("a text is longer than %d bytes", MaxText)
	case strings.HasPrefix(m.Name, reservedPrefix):
		return refuse("the prefix %s is reserved for the server", reservedPrefix)
	case slices.Contains(reservedNames, m.Name):
		return refuse("the name is reserved for the server")
	case !validName.MatchString(m.Name):
		return refuse("the name must be a lower-case letter followed by lower-case letters, digits and underscores")
	}
	switch r.kind {
	case registeredUint64:
		if r.cumulative {
			m.Type = Counter
		}
	case registeredDistribution:
		m.Type, m.Bounds = Histogram, r.bounds
		if n := len(m.Bounds); n < 1 || n > maxBounds {
			return refuse("the distribution has %d bounds; the limit is 1 to %d", n, maxBounds)
		}
		if !increasing(m.Bounds) {
			return refuse("the bounds of the distribution do not increase")
		}
	default:
		return refuse("unknown type %d", r.kind)
	}
	if r.units == registeredNanoseconds {
		m.Unit = Nanoseconds
	}
	if rule := checkFields(m.Fields); rule != "" {
		return refuse("%s", rule)
	}
	slices.SortFunc(m.Fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return m, nil
}

func increasing(bounds []int64) bool {
	for i := 1; i < len(bounds); i++ {
		if bounds[i] <= bounds[i-1] {
			return false
		}
	}
	return true
}

// checkFields returns the rule that the fields break, or "". It fills in their indexes.
func checkFields(fields []Field) (broken string) {
	names := make(map[string]bool, len(fields))
	for i := range fields {
		f := &fields[i]
		switch {
		case !validLabel.MatchString(f.Name) || strings.HasPrefix(f.Name, "__"):
			return fmt.Sprintf("field %s is not a valid Prometheus label name", Quote(f.Name))
		case slices.Contains(reservedLabels, f.Name):
			return fmt.Sprintf("field %s is reserved for the server", Quote(f.Name))
		case names[f.Name]:
			return fmt.Sprintf("duplicate field %s", Quote(f.Name))
		case len(f.Values) == 0:
			return fmt.Sprintf("field %s has no allowed values", Quote(f.Name))
		case len(f.Name) > MaxText:
			return fmt.Sprintf("a text is longer than %d bytes", MaxText)
		}
		names[f.Name] = true
		f.Plain = true
		f.index = make(map[string]uint32, len(f.Values))
		for k, v := range f.Values {
			if _, repeats := f.index[v]; repeats {
				return fmt.Sprintf("field %s has the duplicate value %s", Quote(f.Name), Quote(v))
			}
			if len(v) > MaxText {
				return fmt.Sprintf("a text is longer than %d bytes", MaxText)
			}
			f.index[v] = uint32(k)
			f.Plain = f.Plain && jsonLength(v) == len(v)+len(`""`)
		}
	}
	return ""
}

// checkNames refuses duplicate names, and names that are also the name of a histogram's series on a
// page.
func checkNames(metrics []Metric) error {
	names := make(map[string]bool, len(metrics))
	for i := range metrics {
		if names[metrics[i].Name] {
			return &RefusedError{metrics[i].Name, "duplicate name"}
		}
		names[metrics[i].Name] = true
	}
	for i := range metrics {
		if metrics[i].Type != Histogram {
			continue
		}
		for _, suffix := range HistogramSuffixes {
			if names[metrics[i].Name+suffix] {
				return &RefusedError{metrics[i].Name + suffix, fmt.Sprintf("the name conflicts with a series of histogram %s", Quote(metrics[i].Name))}
			}
		}
	}
	return nil
}
