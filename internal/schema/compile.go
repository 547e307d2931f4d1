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

// reservedPrefix is that of the server's own metrics.
const reservedPrefix = "meta_"

// reservedNames are the metrics of a process that Prometheus's guidelines for client libraries name: the server's own.
var reservedNames = []string{
	"process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_virtual_memory_bytes",
	"process_virtual_memory_max_bytes", "process_resident_memory_bytes", "process_heap_bytes", "process_start_time_seconds",
	"process_threads",
}

// reservedLabels are those that the server puts on a sandbox's series itself.
var reservedLabels = []string{"sandbox", "iteration", "pod_name", "namespace_name", "runtime_root", "le"}

// histogramSuffixes make the names of what a histogram is rendered as.
var histogramSuffixes = []string{"_bucket", "_count", "_sum", "_min", "_max", "_ssd"}

// Types in a registration.
const (
	registeredUint64       = 0
	registeredDistribution = 1
)

// Compile compiles a registration, and keeps none of its bytes. The error is a *RefusedError.
func Compile(registration []byte) (*Schema, error) {
	if !utf8.Valid(registration) {
		return nil, &RefusedError{Rule: "it is not UTF-8"} // texts that differ could be one on a page
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

// registered is a metric as the registration has it.
type registered struct {
	name, prometheusName, description string
	cumulative                        bool
	kind                              int64
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

// compile checks what can be checked of a metric alone.
func (r *registered) compile() (Metric, error) {
	m := Metric{Name: r.prometheusName, Help: r.description, Fields: r.fields}
	refuse := func(format string, args ...any) (Metric, error) {
		return m, &RefusedError{m.Name, fmt.Sprintf(format, args...)}
	}
	switch {
	case r.name == "" || r.prometheusName == "":
		return refuse("a name is empty")
	case len(r.name) > MaxText || len(r.prometheusName) > MaxText || len(r.description) > MaxText:
		return refuse("a text of more than %d bytes", MaxText)
	case strings.HasPrefix(m.Name, reservedPrefix):
		return refuse("names that begin with %s are the server's own", reservedPrefix)
	case slices.Contains(reservedNames, m.Name):
		return refuse("the name is the server's own")
	case !validName.MatchString(m.Name):
		return refuse("the name is not a lower-case letter followed by lower-case letters, digits and underscores")
	}
	switch r.kind {
	case registeredUint64:
		if r.cumulative {
			m.Type = Counter
		}
	case registeredDistribution:
		m.Type, m.Bounds = Histogram, r.bounds
		if n := len(m.Bounds); n < 1 || n > maxBounds {
			return refuse("a distribution of %d bounds, not 1 to %d", n, maxBounds)
		}
		if !increasing(m.Bounds) {
			return refuse("the bounds of the distribution do not increase")
		}
	default:
		return refuse("unknown type %d", r.kind)
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

// checkFields returns the rule that fields break, or "", and fills in their indexes.
func checkFields(fields []Field) (broken string) {
	names := make(map[string]bool, len(fields))
	for i := range fields {
		f := &fields[i]
		switch {
		case !validLabel.MatchString(f.Name) || strings.HasPrefix(f.Name, "__"):
			return fmt.Sprintf("field %s is no label name of Prometheus", quote(f.Name))
		case slices.Contains(reservedLabels, f.Name):
			return fmt.Sprintf("field %s is a label of the server's own", quote(f.Name))
		case names[f.Name]:
			return fmt.Sprintf("field %s repeats", quote(f.Name))
		case len(f.Values) == 0:
			return fmt.Sprintf("field %s has no allowed value", quote(f.Name))
		case len(f.Name) > MaxText:
			return fmt.Sprintf("a text of more than %d bytes", MaxText)
		}
		names[f.Name] = true
		f.Plain = true
		f.index = make(map[string]uint32, len(f.Values))
		for k, v := range f.Values {
			if _, repeats := f.index[v]; repeats {
				return fmt.Sprintf("field %s repeats the value %s", quote(f.Name), quote(v))
			}
			if len(v) > MaxText {
				return fmt.Sprintf("a text of more than %d bytes", MaxText)
			}
			f.index[v] = uint32(k)
			f.Plain = f.Plain && jsonLength(v) == len(v)+len(`""`)
		}
	}
	return ""
}

// checkNames refuses names that repeat, and such as a histogram's parts are rendered under.
func checkNames(metrics []Metric) error {
	names := make(map[string]bool, len(metrics))
	for i := range metrics {
		if names[metrics[i].Name] {
			return &RefusedError{metrics[i].Name, "the name repeats"}
		}
		names[metrics[i].Name] = true
	}
	for i := range metrics {
		if metrics[i].Type != Histogram {
			continue
		}
		for _, suffix := range histogramSuffixes {
			if names[metrics[i].Name+suffix] {
				return &RefusedError{metrics[i].Name + suffix, fmt.Sprintf("the name is one that histogram %s is rendered under", quote(metrics[i].Name))}
			}
		}
	}
	return nil
}
