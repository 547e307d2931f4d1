package liars

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// replyFields are all fields of a reply. Each is the first with its key after its anchor.
var replyFields = []struct{ key, anchor string }{
	{`"success":`, ""},
	{`"err":`, ""},
	{`"result":`, ""},
	{`"snapshot":`, ""},
	{`"when":`, ""},
	{`"data":`, ""},
	{`"metric":`, opensHead},
	{`"name":`, opensHead},
	{`"type":`, opensHead},
	{`"help":`, opensHead},
	{`"val":`, opensHead},
	{`"int":`, opensHead},
	{`"labels":`, callsHead},
	{`"sysno":`, callsHead},
}

// mutations are the ways in which a field can be wrong. mutate returns the replacement of the
// field.
var mutations = []struct {
	name, describe string
	mutate         func(key, value string) string
}{
	{"null", "has null for %s", func(key, _ string) string { return key + "null" }},
	{"missing", "lacks %s", func(string, string) string { return "" }},
	{"twice", "has %s twice", func(key, value string) string { return key + value + "," + key + value }},
	{"then-null", "has %s, and then null for it", func(key, value string) string { return key + value + "," + key + "null" }},
	{"renamed", "has %s under another name", func(key, value string) string { return `"x_` + key[1:] + value }},
	{"capitals", "has the name of %s in capitals", func(key, value string) string { return strings.ToUpper(key) + value }},
	{"text", "has a text for %s", func(key, _ string) string { return key + `"text"` }},
	{"number", "has a number for %s", func(key, _ string) string { return key + "-7" }},
	{"list", "has %s in a list", func(key, value string) string { return key + "[" + value + "]" }},
	{"object", "has %s in an object", func(key, value string) string { return key + `{"value":` + value + "}" }},
}

// fieldLiars have one wrong field each: every field in every way.
func fieldLiars() []Liar {
	var liars []Liar
	for _, m := range replyFields {
		name := strings.Trim(m.key, `":`)
		for _, how := range mutations {
			liars = append(liars, does(name+"-"+how.name, fmt.Sprintf(how.describe, name),
				simulate.Edit(func(_ *simulate.Exchange, reply string) string { return editField(reply, m.anchor, m.key, how.mutate) })))
		}
	}
	return liars
}

// editField replaces the first field with the key after the anchor, in well-formed JSON without
// spaces. It panics if there is no such field, since the document would be honest.
func editField(doc, anchor, key string, edit func(key, value string) string) string {
	at := strings.Index(doc, anchor)
	before, rest, ok := strings.Cut(doc[max(at, 0):], key)
	var value json.RawMessage
	if err := json.NewDecoder(strings.NewReader(rest)).Decode(&value); at < 0 || !ok || err != nil {
		panic("liars: there is no " + key + " after " + anchor + " in " + doc)
	}
	before = doc[:at] + before
	after := rest[len(value):]
	field := edit(key, string(value))
	if field != "" {
		return before + field + after
	}
	if strings.HasPrefix(after, ",") {
		return before + after[1:]
	}
	return strings.TrimSuffix(before, ",") + after
}
