package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// description is what the test needs of openapi.json.
type description struct {
	Paths      map[string]any
	Components struct {
		Schemas map[string]struct {
			Required   []string
			Properties map[string]struct {
				Ref  string `json:"$ref"`
				Enum []*string
			}
			Enum []*string
		}
	}
}

func readDescription(t *testing.T) description {
	t.Helper()
	var d description
	if err := json.Unmarshal(OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDescriptionHasEachProperty: each document has the properties of its description, and all of
// them are required, since what is not known is null.
func TestDescriptionHasEachProperty(t *testing.T) {
	d := readDescription(t)
	described := slices.Sorted(maps.Keys(d.Components.Schemas))
	f := func(name string, document any) {
		t.Helper()
		described = slices.DeleteFunc(described, func(s string) bool { return s == name })
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(maps.Keys(fields))
		got := d.Components.Schemas[name]
		if properties := slices.Sorted(maps.Keys(got.Properties)); !slices.Equal(properties, want) {
			t.Errorf("%s is described with %q, and has %q", name, properties, want)
		}
		if required := slices.Sorted(slices.Values(got.Required)); !slices.Equal(required, want) {
			t.Errorf("%s requires %q, and has %q", name, required, want)
		}
		for property, p := range got.Properties {
			if target, ok := strings.CutPrefix(p.Ref, "#/components/schemas/Sandbox/properties/"); ok && target != property {
				t.Errorf("%s: %s is described like %s", name, property, target)
			}
		}
	}
	f("List", List{})
	f("Sandbox", Sandbox{})
	f("Detail", Detail{})
	f("Registered", Registered{})
	f("Container", Container{})
	f("Metric", Metric{})
	f("Histogram", Histogram{})
	f("Bucket", Bucket{})
	f("Error", Error{})
	f("Status", Status{})
	f("Process", Process{})
	f("Settings", Settings{})
	f("Limits", Limits{})
	f("RuntimeRoot", RuntimeRoot{})
	f("FileError", FileError{})
	f("Registrations", Registrations{})
	f("Build", Build{})
	f("Problem", Problem{})
	f("Refusal", Refusal{})
	if want := []string{"Source"}; !slices.Equal(described, want) {
		t.Errorf("described are also %q, want %q", described, want)
	}
}

// TestDescriptionHasEachValue: the description lists the values of texts that have a fixed set.
func TestDescriptionHasEachValue(t *testing.T) {
	d := readDescription(t)
	check := func(what string, enum []*string, want ...string) {
		t.Helper()
		var got []string
		for _, value := range enum {
			if value != nil {
				got = append(got, *value)
			}
		}
		if !slices.Equal(got, want) || len(enum) != len(want)+1 {
			t.Errorf("the values of %s are %q, want %q and null", what, got, want)
		}
	}
	sandbox := d.Components.Schemas["Sandbox"].Properties
	var outcomes []string
	for _, o := range snapshot.Outcomes {
		outcomes = append(outcomes, string(o))
	}
	check("outcome", sandbox["outcome"].Enum, outcomes...)
	check("hidden", sandbox["hidden"].Enum, string(snapshot.HidUnregistered), string(snapshot.HidBySeriesLimit))
	check("a source", d.Components.Schemas["Source"].Enum, string(snapshot.NoOrigin), string(snapshot.FromFinalLog), string(snapshot.FromHost),
		string(snapshot.FromUnregister), string(snapshot.FromSample))
	check("a unit", d.Components.Schemas["Metric"].Properties["unit"].Enum, schema.Nanoseconds.String())
}
