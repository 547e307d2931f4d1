package e2e

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// readBack is the result of a parser for a page: values by series, and the types and HELP texts of
// families. Series are written as on a page, with their labels sorted and their values quoted in
// Go's syntax.
type readBack struct {
	values map[string]float64
	times  map[string]int64
	help   map[string]string
	kind   map[string]string
}

func newReadBack() readBack {
	return readBack{map[string]float64{}, map[string]int64{}, map[string]string{}, map[string]string{}}
}

// add adds a sample, unless its series exists.
func (r *readBack) add(name string, labels map[string]string, value float64, time int64) error {
	series := seriesText(name, labels)
	if _, twice := r.values[series]; twice {
		return fmt.Errorf("%s is there twice", series)
	}
	r.values[series], r.times[series] = value, time
	return nil
}

// seriesText returns the text of a series. Bounds of buckets are written as numbers, so that the
// number of digits does not matter.
func seriesText(name string, labels map[string]string) string {
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		value := labels[label]
		if bound, err := strconv.ParseFloat(value, 64); label == "le" && err == nil {
			value = strconv.FormatFloat(bound, 'g', -1, 64)
		}
		pairs = append(pairs, label+"="+strconv.Quote(value))
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// sameNumber reports whether two numbers are equal; NaN equals NaN.
func sameNumber(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// readAsLibrary reads a page with the parser of Prometheus's library, which other tools use.
func readAsLibrary(page []byte) (readBack, error) {
	r := newReadBack()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(page)))
	if err != nil {
		return r, err
	}
	for name, family := range families {
		r.help[name], r.kind[name] = family.GetHelp(), strings.ToLower(family.GetType().String())
		for _, m := range family.Metric {
			if err := r.addMetric(name, m); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func (r *readBack) addMetric(name string, m *dto.Metric) error {
	set := map[string]string{}
	for _, l := range m.Label {
		set[l.GetName()] = l.GetValue()
	}
	h := m.Histogram
	if h == nil {
		return r.add(name, set, m.GetGauge().GetValue()+m.GetCounter().GetValue()+m.GetUntyped().GetValue(), m.GetTimestampMs())
	}
	err := errors.Join(
		r.add(name+"_sum", set, h.GetSampleSum(), m.GetTimestampMs()),
		r.add(name+"_count", set, float64(h.GetSampleCount()), m.GetTimestampMs()))
	for _, b := range h.Bucket {
		set["le"] = strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
		err = errors.Join(err, r.add(name+"_bucket", set, float64(b.GetCumulativeCount()), m.GetTimestampMs()))
	}
	return err
}
