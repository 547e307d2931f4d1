package verify

import (
	"bytes"
	"fmt"
	"regexp"
	"time"
)

// maxZone is the length of the longest name of a time zone in a final metrics log. schema.MaxFinalLog
// knows it too.
const maxZone = 64

// parseTime parses a time as Go prints one that was just taken: "2026-11-29 20:28:44.8260685 +0000
// UTC m=+0.250900425". The zone is that of the host, and its name may be anything, so the offset
// alone counts.
func parseTime(text []byte) (t time.Time, ok bool) {
	const layout = "2006-01-02 15:04:05 -0700" // a fraction of a second needs no mention to be parsed
	text, since, ok := bytes.Cut(text, []byte(" m="))
	if !ok || !monotonic.Match(since) {
		return time.Time{}, false
	}
	end := bytes.LastIndexByte(text, ' ')
	if end < 0 || !zone.Match(text[end+1:]) {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, string(text[:end]))
	// Parse is lenient; what Go prints is the same again.
	if err != nil || t.Format("2006-01-02 15:04:05.999999999 -0700") != string(text[:end]) {
		return time.Time{}, false
	}
	return t, true
}

var (
	// monotonic matches a reading of Go's monotonic clock, as +0.250900425.
	monotonic = regexp.MustCompile(`^[+-][0-9]{1,10}\.[0-9]{9}$`)
	// zone matches what may be the name of a time zone, such as UTC, CEST or +0545.
	zone = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9+-]{1,%d}$`, maxZone))
)
