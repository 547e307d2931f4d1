package observe

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseStatus(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := fmt.Sprintf("%+v", parseStatus([]byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	f("", "{name: state: uids:[] levels:0}")
	f("Name:\texe\nState:\tT (stopped)\nUid:\t0\t1\t2\t3\nNSpid:\t10\t1\n", "{name:exe state:T uids:[0 1 2 3] levels:2}")
	f("Name:\ta b\nUid:\t0\nUid:\t5\n", "{name:a b state: uids:[0] levels:0}")
	f("Uid:\tx\n", "{name: state: uids:[] levels:0}")
}

func TestParseSandbox(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		p, ok := parseSandbox([]byte(strings.ReplaceAll(line, " ", "\x00")))
		got := "no"
		if ok {
			got = fmt.Sprintf("%s in %s", p.Sandbox, p.Root)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	f("runsc-sandbox --root=/r --debug boot --bundle=/b sb ", "sb in /r")
	f("/usr/bin/runsc --root=/r -final-metrics-log=/f/%ID% boot sb", "sb in /r")
	f("runsc-sandbox --root=/r boot", "no")
	f("runsc-sandbox --root=r boot sb", "no")
	f("runsc-sandbox boot sb", "no")
	f("runsc-sandbox --root=/r boot ../sb", "no")
	f("runsc-gofer --root=/r gofer sb", "no")
	f("sleep --root=/r boot sb", "no")
	f("", "no")
}

func TestParseSockets(t *testing.T) {
	f := func(parse func(string) (socket, bool), line, want string) {
		t.Helper()
		s, ok := parse(line)
		got := "no"
		if ok {
			got = fmt.Sprintf("%s of user %d, inode %d", s.address(), s.uid, s.inode)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	const rest = " 00000000:00000000 00:00000000 00000000 1000 0 77 1 0000000000000000 100 0 0 10 0"
	f(parseTCP, "0: 0100007F:4CB8 00000000:0000 0A"+rest, "127.0.0.1:19640 of user 1000, inode 77")
	f(parseTCP, "0: 00000000:4CB8 00000000:0000 0A"+rest, "localhost:19640 of user 1000, inode 77")
	f(parseTCP, "0: 00000000000000000000000001000000:4CB8 00000000000000000000000000000000:0000 0A"+rest, "[::1]:19640 of user 1000, inode 77")
	f(parseTCP, "0: 0100007F:4CB8 0100007F:1000 01"+rest, "no")
	f(parseTCP, "sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", "no")
	f(parseTCP, "0: 01:4CB8 00000000:0000 0A"+rest, "no")
	f(parseUnix, "0000000000000000: 00000002 00000000 00010000 0001 01 88 /run/my socket", "/run/my socket of user 0, inode 88")
	f(parseUnix, "0000000000000000: 00000003 00000000 00000000 0001 03 88 /run/s", "no")
	f(parseUnix, "0000000000000000: 00000002 00000000 00010000 0001 01 88 @abstract", "no")
}

// FuzzParse: texts of other processes do no harm, and a sandbox has an ID that is one name in an
// absolute runtime root.
func FuzzParse(f *testing.F) {
	f.Add("runsc-sandbox\x00--root=/r\x00boot\x00sb\x00")
	f.Add("Name:\ta\nUid:\t0\t0\t0\t0\nNSpid:\t1\n")
	f.Add("0: 0100007F:4CB8 00000000:0000 0A 0:0 0:0 0 1000 0 77")
	f.Add("0: 2 0 00010000 1 1 88 /run/s")
	f.Fuzz(func(t *testing.T, text string) {
		parseStatus([]byte(text))
		if p, ok := parseSandbox([]byte(text)); ok && (!filepath.IsAbs(p.Root) || p.Sandbox == "" || filepath.Base(p.Sandbox) != p.Sandbox && p.Sandbox != "/") {
			t.Errorf("%q in %q", p.Sandbox, p.Root)
		}
		for _, parse := range []func(string) (socket, bool){parseTCP, parseUnix} {
			if s, ok := parse(text); ok && s.address() == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}
