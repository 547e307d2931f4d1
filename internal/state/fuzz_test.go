package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// FuzzParse: an accepted state file is valid JSON as a whole. The result does not refer to the
// bytes, and does not depend on files parsed before.
func FuzzParse(f *testing.F) {
	example := []byte(shortened(f, string(testkit.Testdata(f, "sb-k8s.state"))))
	f.Add(example)
	f.Add([]byte(stateOf("a", "b", StatusPaused, `,"podName":"\u0000\"","pid":1,"metricMetadata":{"b":"2","a":"1"},"registeredMetrics":{"metrics":[{"name":"/a"}]}`)))
	f.Add([]byte(stateOf("a", "a", "", `,"restored":true,"cpuTimeSaved":-17800000,"wallTimeSaved":1`)))
	f.Add([]byte(`{"id":"a","createdAt":"2026-11-22T09:12:52+02:00","spec":{"process":{"capabilities":{"bounding":["CAP_A"],"effective":null}}}}`))
	for _, annotations := range []map[string]string{containerdApp, crioPause, crioApp, merged(containerdPause, crioApp)} {
		f.Add([]byte(`{"id":"a","createdAt":"` + createdAt + `","spec":{"annotations":` + object(annotations) + `}}`))
	}
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		known := NewShared("")
		if _, err := parse(example, known); err != nil {
			t.Fatal(err)
		}
		c, err := parse(data, known)
		if (c == nil) == (err == nil) {
			t.Fatalf("%+v, %v", c, err)
		}
		if first, firstErr := parse(data, NewShared("")); !reflect.DeepEqual(first, c) || fmt.Sprint(firstErr) != fmt.Sprint(err) {
			t.Fatalf("as the first file it is another: %v, not %v\n%+v, not\n%+v", firstErr, err, first, c)
		}
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("it is not JSON")
		}
		buffer := bytes.Clone(data)
		again, err := parse(buffer, known)
		clear(buffer)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("a second time it is another: %v\n%+v, and before\n%+v", err, again, c)
		}
	})
}

// FuzzIntern: registrations are the same pointer only if they have the same metrics, and the
// scanner is after the registration.
func FuzzIntern(f *testing.F) {
	f.Add(`{"metrics":[{"name":"/a"},{"name":"/b"}],"stages":[]}`, `{"metrics":[{"name":"/b"}, {"name":"/a"}],"stages":[]}`)
	f.Add(`{"metrics":[{"name":"/a"},{"name":"/a"}]}`, `{"metrics":[{"name":"/a"}]}`)
	f.Add(`{"metrics":[]}`, `{"metrics":[],"metrics":[]}`)
	f.Add(`{"x":1,"metrics":[{"name":"a\"b"}]}`, `{"metrics":[{"name":"a\"c"}]}`)
	f.Add(`1`, `12`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var regs registrations
		intern := func(text string) *Registration {
			s := jscan.New([]byte("[" + text + ",null]"))
			s.Array()
			s.More()
			reg := regs.intern(&s)
			switch ok := s.More() && s.Null() && !s.More() && s.End() == nil; {
			case !json.Valid([]byte(text)), strings.Contains(fmt.Sprint(s.Err()), "nested too deeply"):
				t.Skip()
			case !ok:
				t.Fatalf("behind %s: %v", text, s.Err())
			}
			return reg
		}
		first, other, again := intern(a), intern(b), intern(a)
		if !bytes.Equal(first.JSON, again.JSON) || first != again && newShape(first) != nil {
			t.Error("the same registration is another the second time")
		}
		if first == other && !reflect.DeepEqual(content(t, a), content(t, b)) {
			t.Error("different registrations are one")
		}
		if !reflect.DeepEqual(content(t, a), content(t, string(first.JSON))) {
			t.Errorf("the registration became %s", first.JSON)
		}
	})
}

// content returns the content of a registration, independent of the order of its metrics.
func content(t *testing.T, registration string) any {
	decoder := json.NewDecoder(strings.NewReader(registration))
	decoder.UseNumber()
	var content any
	if err := decoder.Decode(&content); err != nil {
		t.Fatal(err)
	}
	if object, ok := content.(map[string]any); ok {
		if metrics, ok := object["metrics"].([]any); ok {
			slices.SortFunc(metrics, func(a, b any) int {
				textA, _ := json.Marshal(a)
				textB, _ := json.Marshal(b)
				return bytes.Compare(textA, textB)
			})
		}
	}
	return content
}

func FuzzNextEntry(f *testing.F) {
	f.Add([]byte("inode...offset..\x18\x00\x08name\x00"))
	f.Add([]byte("inode...offset..\x13\x00\x08"))
	f.Add([]byte("inode...offset..\x00\x00\x08"))
	f.Add([]byte("inode...offset..\xff\xff\x08"))
	f.Fuzz(func(t *testing.T, entries []byte) {
		for len(entries) > 0 {
			name, rest := nextEntry(entries)
			if len(rest) >= len(entries) || len(name) > len(entries)-len(rest) || bytes.IndexByte(name, 0) >= 0 {
				t.Fatalf("%q has the name %q and the rest %q", entries, name, rest)
			}
			entries = rest
		}
	})
}
