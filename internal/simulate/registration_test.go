package simulate

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRealRegistrationIsTheCapturedOne(t *testing.T) {
	r := RealRegistration()
	if len(r.Metrics) != 178 {
		t.Errorf("%d metrics, want 178", len(r.Metrics))
	}
	if !bytes.Equal(r.JSON(), realRegistration) {
		t.Error("JSON does not give back the bytes it was read from")
	}
	if !bytes.Equal(realSchema().registration(0), realRegistration) {
		t.Error("neither does its schema")
	}
}

func TestOrderChangesNothingElse(t *testing.T) {
	var a, b Registration
	must(t, json.Unmarshal(realSchema().registration(1), &a))
	must(t, json.Unmarshal(realSchema().registration(2), &b))
	if reflect.DeepEqual(a, b) {
		t.Error("two seeds, one order")
	}
	for _, r := range []*Registration{&a, &b} {
		slices.SortFunc(r.Metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("two seeds, two registrations")
	}
}
