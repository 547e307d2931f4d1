package metricclient

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reasons why a value is not on the page.
var (
	// ErrNoSample means that the page has no sample of the metric with these labels. This does not
	// mean that the page is wrong: a sandbox does not send counters that are still zero.
	ErrNoSample = errors.New("no such sample")

	// ErrNoMetric is an [ErrNoSample] for a metric without any data on the page: no sample of any
	// sandbox, and no type.
	//
	// An ErrNoSample that is not an ErrNoMetric means that the value is zero and was not sent, if
	// all of these hold: the metric is a counter ([MetricData.Family]); the sandbox has metrics of
	// its own on the page (runsc_meta_sandbox_running is 1, and runsc_meta_sandbox_failure has no
	// sample for it); and its version of runsc has the metric. A counter that is zero in all
	// sandboxes yields ErrNoMetric: the page does not distinguish it from a metric that does not
	// exist.
	ErrNoMetric = fmt.Errorf("%w: the page has none of this metric", ErrNoSample)
)

// Labels that the server adds to the metrics of a sandbox.
const (
	sandboxLabel   = "sandbox"
	podLabel       = "pod_name"
	namespaceLabel = "namespace_name"
)

// The name of the metadata family is the prefix of the server followed by metadataSuffix.
const (
	defaultPrefix  = "runsc_"
	metadataSuffix = "meta_sandbox_metadata"
)

// MetricData is a page of metrics in the Prometheus text format 0.0.4, as returned by
// [MetricClient.GetMetrics]. Its methods look up single values. A lookup parses only the lines of
// the requested metric, so malformed lines elsewhere do not affect it.
type MetricData string

// WantMetric names one sample of one sandbox.
type WantMetric struct {
	// Metric is the name of the metric, with the prefix of the server, such as runsc_fs_opens.
	Metric string

	// Sandbox is the ID of the sandbox.
	Sandbox string

	// Pod and Namespace are the name and the namespace of the Kubernetes pod that the sandbox runs.
	// Both are empty if the sandbox is not a pod.
	Pod, Namespace string

	// ExtraLabels are further labels and values that the sample must have. An empty value is the
	// same as an absent label. ExtraLabels must not contain sandbox, pod_name or namespace_name:
	// use Sandbox, Pod and Namespace for these.
	ExtraLabels map[string]string
}

// GetPrometheusContainerInteger returns the value and the timestamp of the one sample that matches
// want. An empty want.Pod or want.Namespace matches any value; an empty want.Sandbox is an error.
// Otherwise it works like [MetricData.GetPrometheusInteger].
func (m MetricData) GetPrometheusContainerInteger(want WantMetric) (int64, time.Time, error) {
	labels := map[string]string{}
	maps.Copy(labels, want.ExtraLabels)
	labels[sandboxLabel] = want.Sandbox
	if want.Pod != "" {
		labels[podLabel] = want.Pod
	}
	if want.Namespace != "" {
		labels[namespaceLabel] = want.Namespace
	}
	if want.Sandbox == "" {
		return 0, time.Time{}, fmt.Errorf("integer %s: no sandbox is named", selector{want.Metric, labels})
	}
	return m.GetPrometheusInteger(want.Metric, labels)
}

// GetPrometheusInteger returns the value and the timestamp of the one sample of metricName that has
// all of wantLabels. The timestamp is in UTC with millisecond precision; it is the zero time if the
// page has none. The sample may have other labels too. A label with an empty value in wantLabels
// must be absent or empty.
//
// Integers are exact in any notation of up to 4 KiB. It is an error if no sample matches ([ErrNoSample]), if
// several samples match, if the value is not an integer or does not fit an int64, if the metric is
// a histogram or a summary (their parts, such as _count, are available), or if a line of the metric
// is malformed.
func (m MetricData) GetPrometheusInteger(metricName string, wantLabels map[string]string) (value int64, at time.Time, err error) {
	defer wrap(&err, "integer %s", selector{metricName, wantLabels})
	s, err := m.only(metricName, wantLabels)
	if err != nil {
		return 0, time.Time{}, err
	}
	if value, err = s.integer(); err != nil {
		return 0, time.Time{}, err
	}
	return value, s.at, nil
}

// GetSandboxMetadataMetric returns the metadata labels of a sandbox, such as platform, version and
// iteration: all labels of the sample except sandbox, pod_name and namespace_name.
//
// want.Sandbox, want.Pod and want.Namespace must match the sample exactly, where empty means
// absent. want.ExtraLabels must match too. want.Metric is the metric to read. If it is empty, that
// is the metadata family of the server: runsc_meta_sandbox_metadata, or the same name with the
// prefix of the server. It is an error if no sample matches ([ErrNoSample]), if several samples
// match, or if a line of the metric is malformed.
func (m MetricData) GetSandboxMetadataMetric(want WantMetric) (metadata map[string]string, err error) {
	name := want.Metric
	if name == "" {
		name = m.metadataFamily()
	}
	labels := map[string]string{}
	maps.Copy(labels, want.ExtraLabels)
	labels[sandboxLabel], labels[podLabel], labels[namespaceLabel] = want.Sandbox, want.Pod, want.Namespace
	defer wrap(&err, "metadata %s", selector{name, labels})
	s, err := m.only(name, labels)
	if err != nil {
		return nil, err
	}
	metadata = make(map[string]string, len(s.labels))
	for _, l := range s.labels {
		if l.name != sandboxLabel && l.name != podLabel && l.name != namespaceLabel {
			metadata[strings.Clone(l.name)] = strings.Clone(l.value) // do not retain the page
		}
	}
	return metadata, nil
}

// only returns the one sample of a metric that has the wanted labels.
func (m MetricData) only(name string, want map[string]string) (sample, error) {
	var found sample
	samples, matches, described := 0, 0, false
	for line := range m.linesOf(name) {
		if line[0] == '#' {
			kind, err := typeOf(line, name)
			if err != nil {
				return sample{}, err
			}
			described = described || kind != ""
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return sample{}, err
		}
		samples++
		if s.has(want) {
			found = s
			matches++
		}
	}
	switch {
	case matches == 1:
		return found, nil
	case matches > 1:
		return sample{}, fmt.Errorf("%d samples match: ask for more labels", matches)
	case samples > 0 || described:
		return sample{}, fmt.Errorf("%w: none of the metric's %d has these labels", ErrNoSample, samples)
	}
	return sample{}, ErrNoMetric
}

// linesOf returns the comments of the page and the lines of a metric, in page order.
func (m MetricData) linesOf(metric string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !isMetricName(metric) {
			return
		}
		for line := range m.lines() {
			if (strings.HasPrefix(line, "#") || isLineOf(line, metric)) && !yield(line) {
				return
			}
		}
	}
}

// typeOf returns the type that a comment gives to the family of a metric, or "". Histograms and
// summaries have no single value, so a lookup of one is an error.
func typeOf(line, metric string) (string, error) {
	c, err := parseComment(line)
	switch {
	case c.keyword != "TYPE" || !c.describes(metric):
		return "", nil
	case err == nil && c.family == metric && (c.text == "histogram" || c.text == "summary"):
		err = fmt.Errorf("it is a %s, which has no value of its own: ask for %s_count or %s_sum", c.text, metric, metric)
	}
	return c.text, err
}

// metadataFamily returns the name of the metadata family of the server. Metrics of a sandbox cannot
// take its place: their names have more between prefix and suffix, so the shortest name belongs to
// the server.
func (m MetricData) metadataFamily() string {
	name := ""
	for line := range m.lines() {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		c, err := parseComment(line)
		if err == nil && c.keyword == "TYPE" && strings.HasSuffix(c.family, metadataSuffix) && (name == "" || len(c.family) < len(name)) {
			name = c.family
		}
	}
	return cmp.Or(name, defaultPrefix+metadataSuffix)
}

// A selector is a metric name with labels. Its text has the syntax of a query.
type selector struct {
	name   string
	labels map[string]string
}

func (s selector) String() string {
	if len(s.labels) == 0 {
		return s.name
	}
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(s.labels)) {
		pairs = append(pairs, label+"="+strconv.Quote(s.labels[label]))
	}
	return s.name + "{" + strings.Join(pairs, ",") + "}"
}
