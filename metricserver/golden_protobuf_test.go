package metricserver

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protodelim"
)

// protobufText returns a page of delimited protobuf messages as text, with units and start times.
func protobufText(t *testing.T, page []byte) string {
	t.Helper()
	var b strings.Builder
	for r := bufio.NewReader(bytes.NewReader(page)); ; {
		f := new(dto.MetricFamily)
		err := protodelim.UnmarshalOptions{MaxSize: -1}.UnmarshalFrom(r, f)
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err == nil {
			_, err = expfmt.MetricFamilyToOpenMetrics(&b, f, expfmt.WithCreatedLines())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
