package expo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
)

// parseText parses a page as text, with Prometheus's library, and returns its families by name.
func parseText(t *testing.T, page string) []*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	byName, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range byName {
		f.Help = new(f.GetHelp()) // the parser leaves out an empty one
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
}

// parseProtobuf parses a page as protobuf. It removes the start times of the metrics, and returns them by
// family name and labels.
func parseProtobuf(t *testing.T, page []byte) (families []*dto.MetricFamily, starts map[string]time.Time) {
	t.Helper()
	starts = map[string]time.Time{}
	for r := bytes.NewReader(page); ; {
		f := new(dto.MetricFamily)
		err := protodelim.UnmarshalFrom(r, f)
		if errors.Is(err, io.EOF) {
			return families, starts
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.Metric {
			key := fmt.Sprint(f.GetName(), labelsOf(m))
			if c := m.GetCounter(); c.GetCreatedTimestamp() != nil {
				starts[key], c.CreatedTimestamp = c.CreatedTimestamp.AsTime(), nil
			}
			if h := m.GetHistogram(); h.GetCreatedTimestamp() != nil {
				starts[key], h.CreatedTimestamp = h.CreatedTimestamp.AsTime(), nil
			}
		}
		families = append(families, f)
	}
}

func labelsOf(m *dto.Metric) (labels []string) {
	for _, l := range m.Label {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	return labels
}
