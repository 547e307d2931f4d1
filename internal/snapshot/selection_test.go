package snapshot

import (
	"fmt"
	"strings"
	"testing"
)

func values(texts ...string) Values { return NewValues(texts) }

func ids(texts ...string) Selector { return Selector{IDs: values(texts...)} }

func shard(index, count int) Selector { return Selector{Shard: Shard{index, count}} }

// TestValues: equal selections are equal, regardless of order and repetitions.
func TestValues(t *testing.T) {
	if values("b", "a", "b") != values("a", "b") {
		t.Error("the same values differ")
	}
	if values() != "" || values("") == "" {
		t.Error("no values and the empty value are the same")
	}
}

// TestShards: each sandbox is in exactly one shard.
func TestShards(t *testing.T) {
	seen := 0
	for i := range 7 {
		for id := range 1000 {
			if (Shard{i, 7}).has(fmt.Sprint(id)) {
				seen++
			}
		}
	}
	if seen != 1000 {
		t.Errorf("1000 sandboxes are in seven shards %d times", seen)
	}
}

// TestUnion: a union selects what any of its selectors does.
func TestUnion(t *testing.T) {
	all := []Sandbox{
		{Identity: &Identity{Labels: &Labels{Sandbox: "a", Namespace: "shop", Pod: "web"}}}, // in shard 0/2
		{Identity: &Identity{Labels: &Labels{Sandbox: "b", Namespace: "shop", Pod: "db"}}},  // in shard 1/2
		{Identity: &Identity{Labels: &Labels{Sandbox: "c", Namespace: "bank", Pod: "web"}}}, // in shard 0/2
		{Identity: &Identity{Labels: &Labels{Sandbox: "d"}}},                                // in shard 1/2
	}
	check := func(want string, selectors ...Selector) {
		t.Helper()
		union := Unite(selectors)
		var got []string
		for _, s := range union.Select(all) {
			got = append(got, s.Labels.Sandbox)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v select %q, want %q", selectors, got, want)
		}
	}
	shop, web := values("shop"), values("web")
	check("a b c d")
	check("a b c d", Selector{})
	check("a b c d", ids("a"), Selector{})
	check("a b c d", ids("a"), shard(0, 1))
	check("a", ids("a"))
	check("a d", ids("a"), ids("d"))
	check("", ids("none"))
	check("d", ids("none"), ids("d"))
	check("a", Selector{Pods: web, Namespaces: shop})
	check("a b c", Selector{Pods: web}, Selector{Namespaces: shop})
	check("a d", Selector{IDs: values("a", "c"), Namespaces: shop}, ids("d"))
	check("a b", Selector{IDs: values("a"), Namespaces: shop}, Selector{Namespaces: shop}, Selector{IDs: values("c"), Namespaces: shop})
	check("d", Selector{Namespaces: values("")})
	check("a c", shard(0, 2))
	check("a b c", shard(0, 2), ids("b"))
	check("a b c d", shard(0, 2), shard(1, 2))
}

// TestUniteSize: single IDs are one selector, however many. Too many selectors select everything.
func TestUniteSize(t *testing.T) {
	var single, shards []Selector
	for i := range 1000 {
		single = append(single, ids(fmt.Sprint(i)))
		shards = append(shards, shard(i, 1000))
	}
	if union := Unite(single); len(union) != 1 || strings.Count(string(union[0].IDs), valueSeparator) != 1000 {
		t.Errorf("1000 IDs are %d selectors", len(union))
	}
	if union := Unite([]Selector{ids(strings.Repeat("a", maxUnionText-1))}); union.Everything() {
		t.Error("texts of the largest size select everything")
	}
	if union := Unite([]Selector{ids("b"), ids(strings.Repeat("a", maxUnionText-1))}); !union.Everything() {
		t.Error("longer texts do not select everything")
	}
	if union := Unite(shards[:maxUnion]); len(union) != maxUnion {
		t.Errorf("%d shards are %d selectors", maxUnion, len(union))
	}
	if union := Unite(shards[:maxUnion+1]); !union.Everything() {
		t.Errorf("%d shards are %d selectors, want none", maxUnion+1, len(union))
	}
}

// TestCovers: the same request is covered, and so is one that selects less in each field. TestCoversHolds
// has what is not covered.
func TestCovers(t *testing.T) {
	check := func(union []Selector, other ...Selector) {
		t.Helper()
		if !Unite(union).Covers(Unite(other)) {
			t.Errorf("%+v does not cover %+v", union, other)
		}
	}
	of := func(selectors ...Selector) []Selector { return selectors }
	shop := Selector{Namespaces: values("shop")}
	both := Selector{Namespaces: values("shop", "bank")}
	check(nil)
	check(nil, ids("a"))
	check(of(ids("a")), ids("a"))
	check(of(ids("a"), ids("b")), ids("b"))
	check(of(ids("a"), ids("b")), ids("b"), ids("a"))
	check(of(ids("", "a", "ab", "c")), ids("", "ab"))
	check(of(ids("", "a", "ab", "c")), ids("c"))
	check(of(both), shop)
	check(of(shop), Selector{IDs: values("a"), Namespaces: values("shop")})
	check(of(shop, shard(1, 2)), shard(1, 2))
	check(of(shard(1, 2)), Selector{IDs: values("a"), Shard: Shard{1, 2}})
}

// TestCoversHolds: for all pairs of some unions, a union selects each sandbox that one that it covers
// selects, and a union selects exactly what its selectors do.
func TestCoversHolds(t *testing.T) {
	var all []*Labels
	for _, id := range []string{"", "a", "b", "c", "d"} {
		for _, pod := range []string{"", "web", "db"} {
			all = append(all, &Labels{Sandbox: id, Pod: pod, Namespace: strings.TrimPrefix(pod, "d")})
		}
	}
	some := []Selector{{}, shard(0, 1), shard(0, 2), shard(1, 2), shard(1, 4), ids(""), ids("a"), ids("a", "b", "x"), {Pods: values("web")}, {Pods: values("", "web")}, {Namespaces: values("web")},
		{IDs: values("b"), Pods: values("web")}, {IDs: values("a"), Shard: Shard{0, 2}}}
	var unions []Union
	for _, a := range some {
		for _, b := range some {
			union := Unite([]Selector{a, b})
			unions = append(unions, union)
			for _, l := range all {
				if (a.Matcher()(l) || b.Matcher()(l)) != union.Matcher()(l) {
					t.Errorf("%+v does not select %s of pod %q as its selectors do", union, l.Sandbox, l.Pod)
				}
			}
		}
	}
	covered := 0
	for _, u := range unions {
		for _, other := range unions {
			if !u.Covers(other) {
				continue
			}
			covered++
			for _, l := range all {
				if other.Matcher()(l) && !u.Matcher()(l) {
					t.Errorf("%+v covers %+v, and does not select %s of pod %q", u, other, l.Sandbox, l.Pod)
				}
			}
		}
	}
	if covered <= len(unions) {
		t.Errorf("of %d unions only %d pairs cover", len(unions), covered)
	}
}
