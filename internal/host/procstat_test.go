package host

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseProcStat(t *testing.T) {
	const tail = " 31490 31490 9805 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 366412 3133440 359 18446744073709551615 1 1 0\n"
	accept := func(data string, want procStat) {
		t.Helper()
		if got, err := parseProcStat([]byte(data)); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", data, got, err, want)
		}
	}
	refuse := func(data string) {
		t.Helper()
		if got, err := parseProcStat([]byte(data)); err == nil || got != (procStat{}) {
			t.Errorf("%q: %+v, %v", data, got, err)
		}
	}
	accept("31492 (cat) R"+tail, procStat{start: 366412, parent: 31490, status: noStatus})
	accept("31492 (cat) S"+tail, procStat{start: 366412, parent: 31490, status: noStatus})
	accept("31492 (cat) T"+tail, procStat{start: 366412, parent: 31490, status: noStatus})
	accept("31492 (cat) Z"+tail, procStat{ended: true, start: 366412, parent: 31490, status: noStatus})
	accept("31492 (cat) X"+tail, procStat{ended: true, start: 366412, parent: 31490, status: noStatus})
	accept("31492 () S"+tail, procStat{start: 366412, parent: 31490, status: noStatus})
	accept("31492 (a) Z 1 (\n) S"+tail, procStat{start: 366412, parent: 31490, status: noStatus})
	ending := func(flags string, want bool) {
		t.Helper()
		accept("31492 (cat) R"+strings.Replace(tail, "4194304", flags, 1), procStat{ending: want, start: 366412, parent: 31490, status: noStatus})
	}
	ending("4", true)
	ending("4227084", true) // of a process that has given up its memory
	ending("4211008", false)
	ending("4294967291", false)
	status := func(text string, want int) {
		t.Helper()
		const long = " 31490 31490 9805 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 366412 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 "
		accept("31492 (cat) Z"+long+text+"\n", procStat{ended: true, start: 366412, parent: 31490, status: want})
	}
	status("0", 0)
	status("768", 768)
	status("9", 9)
	status("35072", 35072)
	status("65535 1", 65535)
	status("", noStatus)
	status("65536", noStatus)
	status("-1", noStatus)
	status("x", noStatus)
	refuse("")
	refuse("31492")
	refuse("31492 (cat) S")
	refuse("31492 cat S" + tail)
	refuse("31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1")
	refuse("31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x 1")
	refuse("31492 (cat) S 1 1 1 1 1 x 1 1 1 1 1 1 1 1 1 1 1 1 1 1")
	refuse("31492 (cat) S 1 1 1 1 1 4294967296 1 1 1 1 1 1 1 1 1 1 1 1 1 1")
	refuse("31492 (cat) S x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1")
	refuse("31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 9223372036854775808 1")
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
