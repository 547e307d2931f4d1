package expo

import (
	"bytes"
	"io"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protodelim"
)

// An encode writes a family in a format.
type encode func(io.Writer, *dto.MetricFamily) (int, error)

func openMetricsFamily(w io.Writer, f *dto.MetricFamily) (int, error) {
	return expfmt.MetricFamilyToOpenMetrics(w, f)
}

func protobufFamily(w io.Writer, f *dto.MetricFamily) (int, error) { return protodelim.MarshalTo(w, f) }

// appendProcess appends the families about the server process. There are a few dozen, so a library
// encodes them. A family that it refuses is left out.
func appendProcess(b []byte, families []*dto.MetricFamily, one encode) []byte {
	var buffer bytes.Buffer
	for _, f := range families {
		buffer.Reset()
		if _, err := one(&buffer, f); err == nil {
			b = append(b, buffer.Bytes()...)
		}
	}
	return b
}
