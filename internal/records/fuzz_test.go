package records

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// FuzzOf: whatever the texts and numbers are, the record is one line of valid JSON, of printable
// ASCII and bounded, and valid texts are as they were.
func FuzzOf(f *testing.F) {
	f.Add("7d2f", "web-1", "app", "image", 3, int64(5), int64(0))
	f.Add("", "\xff\n\"\\", "\u2028\u009b", "\U0001F600\ud7ff", -1, int64(-1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, id, podName, name, image string, code int, lifetime, nanoseconds int64) {
		s := pod(t)
		s.Labels = &snapshot.Labels{Sandbox: id, Pod: podName}
		s.CreatedAt = time.Unix(nanoseconds, nanoseconds)
		s.Containers = []snapshot.Container{{ID: id, Name: name, Image: image}, {ID: name}}
		s.End.Code, s.End.Lifetime, s.End.Outcome = code, time.Duration(lifetime), snapshot.Outcome(name)
		line := Of(s).Line()
		if len(line) > MaxSize || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Errorf("not one line of at most %d bytes: %q", MaxSize, line)
		}
		for _, c := range line[:len(line)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %q", c, line)
			}
		}
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if utf8.ValidString(podName) && len(podName) <= maxText && podName != "" && *r.Pod != podName {
			t.Errorf("pod %q becomes %q", podName, *r.Pod)
		}
	})
}
