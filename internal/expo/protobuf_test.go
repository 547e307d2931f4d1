package expo

import (
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	pb "google.golang.org/protobuf/proto"

	"github.com/sandmeter/sandmeter/internal/page"
)

// TestProtobuf: a page has the same content as protobuf and as text. Times in seconds are the nearest
// floats of those in text.
func TestProtobuf(t *testing.T) {
	for what, p := range map[string]*page.Page{"golden": build(golden(t)), "times": timesPage(t, true), "times without timestamps": timesPage(t, false)} {
		want := parseText(t, render(p))
		got, _ := parseProtobuf(t, Protobuf{}.Append([]byte("before"), p)[len("before"):])
		if len(got) != len(want) {
			t.Fatalf("%s: %d families, want %d", what, len(got), len(want))
		}
		for i, f := range got {
			if !pb.Equal(f, want[i]) {
				t.Errorf("%s: got\n%v\nwant\n%v", what, f, want[i])
			}
		}
	}
}

// TestProtobufStarts: counters and histograms with a known start include it.
func TestProtobufStarts(t *testing.T) {
	check := func(p *page.Page, want map[string]time.Time) {
		t.Helper()
		if _, got := parseProtobuf(t, Protobuf{}.Append(nil, p)); !maps.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("got\n%v\nwant\n%v", got, want)
		}
	}
	start := time.UnixMilli(pageTime).Add(-time.Hour + 123456789)
	check(build(golden(t)), map[string]time.Time{"runsc_meta_num_sandboxes_total[]": serverStart})
	check(started(t, start), map[string]time.Time{
		"runsc_boot[iteration=1af6dvkjq949g sandbox=a-plain]":     start,
		"runsc_fs_opens[iteration=1af6dvkjq949g sandbox=a-plain]": start,
		"runsc_meta_num_sandboxes_total[]":                        time.UnixMilli(pageTime - 1),
	})
}

// started returns the page of the golden snapshot with a start for the first sandbox, and a late one for
// the server. The start of the second sandbox is not earlier than its samples.
func started(t *testing.T, start time.Time) *page.Page {
	snap := golden(t)
	snap.Sandboxes[0].Reported.Start = start.UnixNano()
	snap.Sandboxes[1].Reported.Start = time.UnixMilli(snap.Sandboxes[1].Reported.Time).UnixNano()
	return buildSince(time.UnixMilli(pageTime-1), snap)
}

// TestSetLength: messages whose length takes one to four bytes.
func TestSetLength(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1<<21 - 1, 1 << 21, 3 << 21} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		b := setLength(append([]byte("before???"), body...), len("before"))
		if string(b[:6]) != "before" {
			t.Fatalf("%d: %q", size, b[:6])
		}
		got, n := protowire.ConsumeBytes(b[6:])
		if n != len(b)-6 || n != protowire.SizeBytes(size) || string(got) != body {
			t.Errorf("a message of %d bytes reads back as one of %d in %d", size, len(got), n)
		}
	}
}
