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

// Why a value is not on the page.
var (
	// ErrNoSample means that the page has no sample of the metric with these labels. That is no fault of the page: a sandbox does not
	// send counters that are still zero.
	ErrNoSample = errors.New("no such sample")

	// ErrNoMetric is the [ErrNoSample] of a metric of which the page has nothing at all: no sample of any sandbox, and no type.
	//
	// An ErrNoSample that is not an ErrNoMetric means that the value is a zero that the sandbox did not send, if the metric is a counter
	// ([MetricData.Family]), the sandbox is on the page with metrics of its own (runsc_meta_sandbox_running is 1, and
	// runsc_meta_sandbox_failure has no sample of it), and its version of runsc has the metric. A counter that is zero in all sandboxes
	// is an ErrNoMetric: the page does not tell it from a metric that does not exist.
	ErrNoMetric = fmt.Errorf("%w: the page has none of this metric", ErrNoSample)
)

// Labels that the server adds to what a sandbox tells.
const (
	sandboxLabel   = "sandbox"
	podLabel       = "pod_name"
	namespaceLabel = "namespace_name"
)

// The family of metadata is named by the prefix that the server was given and this.
const (
	defaultPrefix  = "runsc_"
	metadataSuffix = "meta_sandbox_metadata"
)

// MetricData is a page of metrics as [MetricClient.GetMetrics] returns it, in Prometheus's text format 0.0.4, with methods that find
// single values in it. A method reads the lines of the metric it is asked for, and no others, so a bad line elsewhere does no harm.
type MetricData string

// WantMetric names one sample of one sandbox.
type WantMetric struct {
	// Metric is the name of the metric, with the server's prefix, as in runsc_fs_opens.
	Metric string

	// Sandbox is the ID of the sandbox.
	Sandbox string

	// Pod and Namespace are the name and the namespace of the Kubernetes pod that the sandbox is. They are empty if it is none.
	Pod, Namespace string

	// ExtraLabels are further labels that the sample must have, with these values. A label with an empty value is the same as none.
	// They do not name what Sandbox, Pod and Namespace do: sandbox, pod_name and namespace_name.
	ExtraLabels map[string]string
}

// GetPrometheusContainerInteger returns the value of the one sample that want names, and when it was taken. An empty want.Pod or
// want.Namespace matches any; an empty want.Sandbox is an error. For all else see [MetricData.GetPrometheusInteger].
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
		return 0, time.Time{}, fmt.Errorf("integer %s: no sandbox is named", selector(want.Metric, labels))
	}
	return m.GetPrometheusInteger(want.Metric, labels)
}

// GetPrometheusInteger returns the value of the one sample of the metric metricName that has all of wantLabels, and when it was taken: in
// UTC, to the millisecond, or the zero time if the page does not say. The sample may have other labels too. A label that is wanted
// with an empty value must be absent or empty.
//
// Integers are exact, whatever notation they are in. Errors are: no sample matches ([ErrNoSample]), several do, the value is not an integer or
// does not fit an int64, the metric is a histogram or a summary (whose parts, such as the _count, can be asked for), or a line of the
// metric is malformed.
func (m MetricData) GetPrometheusInteger(metricName string, wantLabels map[string]string) (value int64, at time.Time, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("integer %s: %w", selector(metricName, wantLabels), err)
		}
	}()
	s, err := m.only(metricName, wantLabels)
	if err != nil {
		return 0, time.Time{}, err
	}
	if value, err = s.integer(); err != nil {
		return 0, time.Time{}, err
	}
	return value, s.at, nil
}

// GetSandboxMetadataMetric returns the labels of the sandbox's metadata, such as platform, version and iteration: all labels of the
// sample but sandbox, pod_name and namespace_name, which want has.
//
// want.Sandbox, want.Pod and want.Namespace must be exactly the sample's, where empty means absent; want.ExtraLabels must match too.
// want.Metric is the metric to look in. When it is empty, that is the server's own family of metadata: runsc_meta_sandbox_metadata, or
// with another prefix if that is what the server was given. Errors are: no sample matches ([ErrNoSample]), several do, or a line of the
// metric is malformed.
func (m MetricData) GetSandboxMetadataMetric(want WantMetric) (metadata map[string]string, err error) {
	name := want.Metric
	if name == "" {
		name = m.metadataFamily()
	}
	labels := map[string]string{}
	maps.Copy(labels, want.ExtraLabels)
	labels[sandboxLabel], labels[podLabel], labels[namespaceLabel] = want.Sandbox, want.Pod, want.Namespace
	defer func() {
		if err != nil {
			err = fmt.Errorf("metadata %s: %w", selector(name, labels), err)
		}
	}()
	s, err := m.only(name, labels)
	if err != nil {
		return nil, err
	}
	metadata = make(map[string]string, len(s.labels))
	for _, l := range s.labels {
		if l.name != sandboxLabel && l.name != podLabel && l.name != namespaceLabel {
			metadata[strings.Clone(l.name)] = strings.Clone(l.value) // not to hold on to the page
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

// linesOf returns the comments of the page and the lines of a metric.
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

// typeOf returns the type that a comment gives to the family of a metric, or nothing. Histograms and summaries have no value of their own:
// to ask for one is an error.
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

// metadataFamily returns the name of the server's family of metadata. No metric of a sandbox can pass for it: its name would have more
// between prefix and suffix, so the shortest name is the server's.
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

// selector returns the name of a metric with labels, as a query would have it.
func selector(name string, labels map[string]string) string {
	if len(labels) == 0 {
		return name
	}
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, label+"="+strconv.Quote(labels[label]))
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}
