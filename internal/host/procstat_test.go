package host

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseProcStat(t *testing.T) {
	const short = " 31490 31490 9805 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 366412 3133440 359 18446744073709551615 1 1 0\n"
	const long = " 31490 31490 9805 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 366412 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 "
	check := func(data string, ended, ending bool, status int) {
		t.Helper()
		want := procStat{ended: ended, ending: ending, start: 366412, parent: 31490, status: status}
		if got, err := parseProcStat([]byte(data)); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", data, got, err, want)
		}
	}
	check("31492 (cat) R"+short, false, false, noStatus)
	check("31492 (cat) T"+short, false, false, noStatus)
	check("31492 (cat) Z"+short, true, false, noStatus)
	check("31492 (cat) X"+short, true, false, noStatus)
	check("31492 () S"+short, false, false, noStatus)
	check("31492 (a) Z 1 (\n) S"+short, false, false, noStatus)
	for flags, ending := range map[string]bool{"4": true, "4227084": true, "4211008": false, "4294967291": false} { // 4227084: it has given up its memory
		check("31492 (cat) R"+strings.Replace(short, "4194304", flags, 1), false, ending, noStatus)
	}
	for text, status := range map[string]int{"0": 0, "768": 768, "9": 9, "65535 1": 65535, "": noStatus, "65536": noStatus, "-1": noStatus} {
		check("31492 (cat) Z"+long+text+"\n", true, false, status)
	}
	for _, data := range []string{
		"", "31492 (cat) S", "31492 cat S" + short, "31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x 1", "31492 (cat) S 1 1 1 1 1 4294967296 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"31492 (cat) S x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
	} {
		if got, err := parseProcStat([]byte(data)); err == nil || got != (procStat{}) {
			t.Errorf("%q: %+v, %v", data, got, err)
		}
	}
}

func FuzzParseProcStat(f *testing.F) {
	f.Add([]byte("31492 (cat) R 31490 31490 9805 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 366412 3133440 359\n"), "cat", int64(366412))
	f.Add([]byte("1 ("), "a) Z 1 (", int64(0))
	f.Fuzz(func(t *testing.T, data []byte, name string, start int64) {
		if stat, err := parseProcStat(data); err != nil && stat != (procStat{}) {
			t.Errorf("%+v beside the error %v", stat, err)
		}
		// The fields are found after process names with any characters.
		line := fmt.Sprintf("1 (%s) Z 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 %d 1\n", name, start)
		if stat, err := parseProcStat([]byte(line)); err != nil || stat != (procStat{ended: true, start: start, parent: 1, status: noStatus}) {
			t.Errorf("%q: %+v, %v", line, stat, err)
		}
	})
}
