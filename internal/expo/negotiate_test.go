package expo

import "testing"

const (
	typeText         = "text/plain; version=0.0.4; charset=utf-8"
	typeText1        = "text/plain; version=1.0.0; charset=utf-8"
	typeOpenMetrics  = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	typeProtobuf     = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	acceptProtobuf   = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	acceptPrometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5," +
		"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	accept242 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)

// TestNegotiate: Accept headers, with the chosen format if OpenMetrics is offered and if it is not.
func TestNegotiate(t *testing.T) {
	dropIn := []Format{Text{}, Protobuf{}}
	serve := append(dropIn[:len(dropIn):len(dropIn)], OpenMetrics{})
	formats := map[string]Format{typeText: Text{}, typeText1: Text{}, typeOpenMetrics: OpenMetrics{}, typeProtobuf: Protobuf{}}
	negotiate := func(offered []Format, wantType, escaping string, accept ...string) {
		t.Helper()
		format, contentType := Negotiate(accept, offered)
		if want := wantType + escaping; format != formats[wantType] || contentType != want {
			t.Errorf("%q gets %T, %q, want %q", accept, format, contentType, want)
		}
	}
	both := func(want string, accept ...string) {
		t.Helper()
		negotiate(serve, want, "", accept...)
		negotiate(dropIn, want, "", accept...)
	}

	// No offered type.
	both(typeText)
	both(typeText, "")
	both(typeText, "application/json")
	both(typeText, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	both(typeText, "application/openmetrics-text;version=0.0.1")
	both(typeText, "text/plain;version=2.0.0")
	both(typeText, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text")
	both(typeText, "application/vnd.google.protobuf;proto=io.prometheus.write.v2.Request;encoding=delimited")
	both(typeText, ";;,,=,/", "\xff", ",")

	// One type.
	both(typeText, "*/*")
	both(typeText, "text/*")
	both(typeText, "text/plain")
	both(typeText, "text/plain;version=0.0.4")
	both(typeText1, "text/plain;version=1.0.0")
	both(typeText1, `TEXT/Plain; Version="1.0.0"`)
	both(typeProtobuf, acceptProtobuf)
	negotiate(serve, typeOpenMetrics, "", "application/openmetrics-text")
	negotiate(serve, typeOpenMetrics, "", "application/openmetrics-text; version=1.0.0; charset=utf-8")
	negotiate(dropIn, typeText, "", "application/openmetrics-text")

	// The highest q, then the more specific type, then the first.
	both(typeProtobuf, "text/plain;q=0.5,"+acceptProtobuf+";q=0.6")
	both(typeText, "text/plain;q=0.6,"+acceptProtobuf+";q=0.5")
	both(typeProtobuf, "text/plain;q=0.5", acceptProtobuf)
	both(typeText, "text/plain,"+acceptProtobuf)
	both(typeProtobuf, acceptProtobuf+",text/plain")
	both(typeProtobuf, "*/*,"+acceptProtobuf)
	both(typeText, "*/*,"+acceptProtobuf+";q=0.9")
	both(typeText1, "text/*,text/plain;version=1.0.0")
	both(typeText, acceptProtobuf+";q=0")
	both(typeProtobuf, "text/plain;q=0.001,"+acceptProtobuf+";q=0.002")
	both(typeProtobuf, "text/plain;q=0.5,"+acceptProtobuf+";q=much")
	both(typeProtobuf, "text/plain;q=0.5,"+acceptProtobuf+";q=NaN")

	// The headers of Prometheus.
	negotiate(serve, typeOpenMetrics, "", accept242)
	negotiate(dropIn, typeText, "", accept242)
	negotiate(serve, typeOpenMetrics, "; escaping=allow-utf-8", acceptPrometheus)
	negotiate(dropIn, typeText1, "; escaping=allow-utf-8", acceptPrometheus)

	// The escaping of the chosen type applies.
	for _, way := range []string{"allow-utf-8", "underscores", "dots", "values"} {
		negotiate(serve, typeText, "; escaping="+way, "text/plain;escaping="+way)
		negotiate(serve, typeProtobuf, "; escaping="+way, acceptProtobuf+";escaping="+way)
	}
	both(typeText, "text/plain;escaping=other")
	both(typeText, `text/plain;escaping="dots; x"`)
}

func TestNegotiateEncoding(t *testing.T) {
	negotiate := func(want Encoding, accept ...string) {
		t.Helper()
		if got := NegotiateEncoding(accept); got != want {
			t.Errorf("%q gets %T, want %T", accept, got, want)
		}
	}
	negotiate(nil)
	negotiate(nil, "")
	negotiate(nil, "identity")
	negotiate(nil, "*")
	negotiate(Gzip{}, "gzip")
	negotiate(Gzip{}, "GZIP;q=0.1")
	negotiate(Zstd{}, "zstd")
	negotiate(Zstd{}, "gzip, deflate, br, zstd")
	negotiate(Zstd{}, "gzip", "zstd")
	negotiate(Gzip{}, "gzip, zstd;q=0.9")
	negotiate(Gzip{}, "gzip, zstd;q=0")
	negotiate(Gzip{}, "identity, gzip")
	negotiate(Gzip{}, "identity;q=0, gzip;q=0.1")
	negotiate(nil, "identity, gzip;q=0.5, zstd;q=0.9")
	negotiate(nil, "identity;q=0, br")
}
