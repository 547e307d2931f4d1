package host

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
)

func TestParseFields(t *testing.T) {
	fields := []field{{"", fact.CPU, 1}, {"user", fact.CPUUser, 1000}, {"some", fact.PressureCPUSome, 1000}, {"full", fact.PressureCPUFull, 1000}}
	parse := func(data string) (map[string]int64, error) {
		var u fact.Reading
		err := parseFields([]byte(data), fields, u.Set)
		return values(&u), err
	}
	accept := func(data string, want map[string]int64) {
		t.Helper()
		if got, err := parse(data); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", data, got, err, want)
		}
	}
	refuse := func(data string) {
		t.Helper()
		if got, err := parse(data); err == nil {
			t.Errorf("%q: %v", data, got)
		}
	}
	accept("", nil)
	accept("0\n", map[string]int64{"cpu": 0})
	accept("123", map[string]int64{"cpu": 123})
	accept("18446744073709551615\n", map[string]int64{"cpu": math.MaxInt64})
	accept("user 3\nsystem 4\n", map[string]int64{"user": 3000})
	accept("user 9223372036854775807\n", map[string]int64{"user": math.MaxInt64})
	accept("users 3\nus 4\n", nil)
	accept("some avg10=1.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=8\n",
		map[string]int64{"cpu some": 7000, "cpu full": 8000})
	refuse("max\n")
	refuse("-1\n")
	refuse("1.5\n")
	refuse("18446744073709551616\n")
	refuse("user\n")
	refuse("user 1 2\n")
	refuse("some avg10=1.00\n")
	refuse("some total=\n")
	refuse("\n")
}

const netdevHead = "Inter-|   Receive\n face |bytes\n"

func TestAppendInterfaces(t *testing.T) {
	const numbers = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
	parsed := [...]int64{1, 4, 3, 2, 9, 12, 11, 10}
	accept := func(lines string, want ...fact.Interface) {
		t.Helper()
		if got, err := appendInterfaces(nil, []byte(netdevHead+lines)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", lines, got, err, want)
		}
	}
	refuse := func(lines string) {
		t.Helper()
		if got, err := appendInterfaces(nil, []byte(netdevHead+lines)); err == nil {
			t.Errorf("%q: %v", lines, got)
		}
	}
	accept("")
	accept("    lo:" + numbers)
	accept("  eth0:"+numbers, fact.Interface{Name: "eth0", Counters: parsed})
	accept("eth0:9"+numbers[2:], fact.Interface{Name: "eth0", Counters: [...]int64{9, 4, 3, 2, 9, 12, 11, 10}})
	accept("    lo:"+numbers+"b:"+numbers+" a@\xc3\xa4:"+numbers, fact.Interface{Name: "b", Counters: parsed}, fact.Interface{Name: "a@\xc3\xa4", Counters: parsed})
	accept("x:"+strings.TrimSuffix(numbers, "\n")+" 17\n", fact.Interface{Name: "x", Counters: parsed})
	accept(strings.Repeat("x:"+numbers, maxInterfaces), slices.Repeat([]fact.Interface{{Name: "x", Counters: parsed}}, maxInterfaces)...)
	refuse(strings.Repeat("x:"+numbers, maxInterfaces+1))
	refuse("eth0" + numbers)
	refuse(" :" + numbers)
	refuse("a\xff:" + numbers)
	refuse("eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n")
	refuse("eth0:" + strings.Replace(numbers, "12", "-12", 1))
	refuse("eth0:" + strings.Replace(numbers, " 1 ", " 18446744073709551615 ", 1))
}

func TestParseStatm(t *testing.T) {
	if n, err := parseStatm([]byte("894957 10956 8593 3666 0 58027 0\n")); err != nil || n != sentryMemoryOfTree() {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := parseStatm([]byte("1 2 3\n")); err != nil || n != 0 {
		t.Errorf("less than nothing: %d, %v", n, err)
	}
	for _, data := range []string{"", "1 2\n", "1 x 3\n", "1 2 -3\n"} {
		if n, err := parseStatm([]byte(data)); err == nil {
			t.Errorf("%q: %d", data, n)
		}
	}
}

// FuzzParseProc: no content of a file in /proc or of a cgroup makes a parser fail.
func FuzzParseProc(f *testing.F) {
	f.Add([]byte("31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"))
	f.Add([]byte("4:memory,x:/a\n0::/b (deleted)\n"))
	f.Add([]byte("1\n2\n"))
	f.Add([]byte("894957 10956 8593 3666 0 58027 0\n"))
	f.Add([]byte("1 2777777777777777700 0\n")) // too many pages for a number of bytes
	f.Add([]byte("user 302\nsystem 110\n"))
	f.Add([]byte("some avg10=44.02 avg60=37.07 avg300=65.08 total=1514633373\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"))
	f.Add([]byte(netdevHead + "    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n  eth0: 4430 17 1 2 0 0 0 0 20839042 20001 3 4 0 0 0 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range slices.Concat(filesV1, filesV2) {
			_ = parseFields(data, file.fields, func(q fact.Quantity, n int64) {
				if n < 0 || !slices.ContainsFunc(file.fields, func(f field) bool { return f.quantity == q }) {
					t.Errorf("%s: %d of %s", file.name, n, names[q])
				}
			})
		}
		list, err := appendInterfaces(nil, data)
		if len(list) > maxInterfaces || err != nil && list != nil {
			t.Errorf("%d interfaces, %v", len(list), err)
		}
		for _, i := range list {
			if i.Name == "" || i.Name == "lo" || slices.Min(i.Counters[:]) < 0 {
				t.Errorf("%+v", i)
			}
		}
		m := &Meter{root: "/root", mounts: parseMounts(data)}
		for _, member := range parseMemberships(data) {
			if dir, ok := m.dirOf(&member); ok && !strings.HasPrefix(dir, "/root/") && dir != "/root" {
				t.Errorf("%+v is at %q", member, dir)
			}
			_ = (&Subject{ID: string(data)}).named(member.path)
		}
		if n, err := parseStatm(data); err == nil && n < 0 {
			t.Errorf("%d bytes of memory", n)
		}
		if pids, err := parsePIDs(data); err == nil && len(pids) > 0 && slices.Min(pids) < 0 {
			t.Errorf("processes %v", pids)
		}
	})
}
