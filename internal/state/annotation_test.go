package state

import (
	"fmt"
	"os"
	"path/filepath"
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

// TestRootHasAnnotation: listings have the annotation that the roots have in common.
func TestRootHasAnnotation(t *testing.T) {
	dir := t.TempDir()
	const content = `{"id":"a","createdAt":"2026-11-01T00:00:00Z","sandbox":{"id":"a"},"spec":{"annotations":{"k":"v"}}}`
	if err := os.WriteFile(filepath.Join(dir, "a_sandbox:a.state"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"": "", "k": "v", "x": ""} {
		r := NewShared(key).NewRoot(dir)
		listing, err := r.List()
		if err != nil || len(listing.Sandboxes) != 1 {
			t.Fatalf("%+v, %v", listing, err)
		}
		if got := listing.Sandboxes[0].Containers[0].Spec.Annotation; got != want {
			t.Errorf("with %q, the annotation is %q, want %q", key, got, want)
		}
	}
}
