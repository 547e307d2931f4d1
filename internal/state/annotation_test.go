package state

import (
	"fmt"
	"strings"
	"testing"
)

// TestAnnotation: a spec has the value of the annotation, which is read like any other field, and
// other annotations are read as without it.
func TestAnnotation(t *testing.T) {
	check := func(key, annotations, want string, others Spec) {
		t.Helper()
		kept := NewShared(key)
		c, err := parse(fmt.Appendf(nil, `{"id":"a","createdAt":"2026-11-01T00:00:00Z","spec":{"annotations":%s}}`, annotations), kept)
		if err != nil {
			t.Errorf("%s: %v", annotations, err)
			return
		}
		others.Present, others.Annotation = true, want
		if fmt.Sprint(c.Spec) != fmt.Sprint(others) {
			t.Errorf("%s of %s: got %+v, want %+v", key, annotations, c.Spec, others)
		}
	}
	const key = "example.com/team"
	check(key, `{"a":"b","example.com/team":"blue","c":"d"}`, "blue", Spec{})
	check(key, `{"example.com/team" : "bl\u00fce\n\"" }`, "blüe\n\"", Spec{})
	check(key, `{"example.com\/team":"blue"}`, "blue", Spec{})
	check(key, `{"Example.com/team":"blue"}`, "", Spec{})
	check(key, `{"example.com/team":""}`, "", Spec{})
	check(key, `{"example.com/team":{"x":["y"]},"io.kubernetes.cri.container-name":"n"}`, "", Spec{ContainerName: "n"})
	check(key, `{"example.com/team":null}`, "", Spec{})
	check(key, `{}`, "", Spec{})
	check(key, `null`, "", Spec{})
	check(key, `{"example.com/team":"`+strings.Repeat("x", 3*MaxAnnotation)+`"}`, strings.Repeat("x", MaxAnnotation), Spec{})
	check("io.kubernetes.cri.sandbox-uid", `{"io.kubernetes.cri.sandbox-uid":"u"}`, "u", Spec{PodUID: "u"})
	check("", `{"":"x"}`, "", Spec{})

	bad := NewShared(key)
	if _, err := parse([]byte(`{"id":"a","createdAt":"2026-11-01T00:00:00Z","spec":{"annotations":{"example.com/team":"x`), bad); err == nil {
		t.Error("a string that does not end is accepted")
	}
}
