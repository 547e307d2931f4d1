package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A page is a page of metrics as Prometheus's own parser reads it.
type page map[string]*dto.MetricFamily

// A sample is a line of a page.
type sample struct {
	labels map[string]string
	value  float64
}

// readPage reads a page.
func readPage(url string) (page, error) {
	text, err := readBody(url)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the page is not valid: %w\n%s", err, text)
	}
	return families, nil
}

// plainClient keeps no connections, so that each request finds the server of its time.
var plainClient = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// readBody reads the body of a response with status 200.
func readBody(url string) ([]byte, error) {
	response, err := plainClient.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return body, err
}

// find returns the series of a family that have the given labels; labels alternate between names and
// values.
func (p page) find(family string, labels ...string) []sample {
	var found []sample
	for _, m := range p[family].GetMetric() {
		s := sample{map[string]string{}, m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()}
		for _, l := range m.Label {
			s.labels[l.GetName()] = l.GetValue()
		}
		if s.has(labels) {
			found = append(found, s)
		}
	}
	return found
}

func (s sample) has(labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if value, ok := s.labels[labels[i]]; !ok || value != labels[i+1] {
			return false
		}
	}
	return true
}

// value returns the value of the only series of a family with the given labels.
func (p page) value(family string, labels ...string) (float64, error) {
	found := p.find(family, labels...)
	if len(found) != 1 {
		return 0, fmt.Errorf("%s%q is %d series: %v", family, labels, len(found), found)
	}
	return found[0].value, nil
}

// want fails the test unless the only series with the given labels has a value.
func (p page) want(t *testing.T, want float64, family string, labels ...string) {
	t.Helper()
	if got, err := p.value(family, labels...); err != nil || got != want {
		t.Errorf("%s%q is %v, want %v (%v)", family, labels, got, want, err)
	}
}

// labels returns the values of a label in a family, sorted.
func (p page) labels(family, label string, labels ...string) []string {
	var values []string
	for _, s := range p.find(family, labels...) {
		values = append(values, s.labels[label])
	}
	slices.Sort(values)
	return values
}

// running returns the IDs of the running sandboxes of a namespace, sorted.
func (p page) running(namespace string) []string {
	var ids []string
	for _, s := range p.find("sandmeter_sandbox_running", "namespace_name", namespace) {
		if s.value == 1 {
			ids = append(ids, s.labels["sandbox"])
		}
	}
	slices.Sort(ids)
	return ids
}
