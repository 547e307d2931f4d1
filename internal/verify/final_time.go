package verify

import (
	"bytes"
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
	if !ok || !isMonotonic(since) {
		return time.Time{}, false
	}
	zone := bytes.LastIndexByte(text, ' ')
	if zone < 0 || !isZone(text[zone+1:]) {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, string(text[:zone]))
	// Parse is lenient; what Go prints is the same again.
	if err != nil || t.Format("2006-01-02 15:04:05.999999999 -0700") != string(text[:zone]) {
		return time.Time{}, false
	}
	return t, true
}

// isMonotonic reports whether text is a reading of Go's monotonic clock, as "+0.250900425".
func isMonotonic(text []byte) bool {
	const fraction = len(".250900425")
	dot := len(text) - fraction
	if dot < 2 || dot > len("+9223372036") || text[0] != '+' && text[0] != '-' || text[dot] != '.' {
		return false
	}
	return isDigits(text[1:dot]) && isDigits(text[dot+1:])
}

func isDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isZone reports whether text may be the name of a time zone, such as UTC, CEST or +0545.
func isZone(text []byte) bool {
	for _, c := range text {
		isLetter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !isLetter && !isDigits([]byte{c}) && c != '+' && c != '-' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= maxZone
}
