package verify

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
)

// pod are the containers of the sandbox "p" in the tests.
var pod = []Container{{ID: "p"}, {ID: "p-2", Name: "app"}, {ID: "p-3", Name: "p"}}

// eventReply returns a reply about the container "p".
func eventReply(data, usage string) string {
	return `{"success":true,"err":"","result":{"event":{"type":"stats","id":"p","data":` + data + `},"containerUsage":` + usage + `}}`
}

// Parts of recorded replies.
const (
	recordedData = `{"cpu":{"usage":{}},"memory":{"usage":{"limit":0,"usage":246607872,"failcnt":0},"swap":{"limit":0,"failcnt":0},` +
		`"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},"pids":{"current":213},"network_interfaces":[` +
		`{"Name":"lo","RxBytes":7,"RxPackets":0,"RxErrors":0,"RxDropped":0,"TxBytes":7,"TxPackets":0,"TxErrors":0,"TxDropped":0},` +
		`{"Name":"eth0","RxBytes":3936,"RxPackets":13,"RxErrors":0,"RxDropped":0,"TxBytes":20839000,"TxPackets":20000,"TxErrors":0,"TxDropped":0}]}`
	recordedIdle = `{"cpu":{"usage":{}},"memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},` +
		`"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},"pids":{},"network_interfaces":null}`
	recordedUsage = `{"p":50000000,"p-2":20000000,"p-3":30000000}`
)

func readEvent(reply string) (Event, error) {
	return ReadEvent(control.NewReply([]byte(reply)), "p", pod)
}

func TestEvent(t *testing.T) {
	check := func(data, usage string, want Event) {
		t.Helper()
		got, err := readEvent(eventReply(data, usage))
		if err != nil || !slices.Equal(got.CPU, want.CPU) {
			t.Errorf("%s: got %v, %v; want %v", usage, got.CPU, err, want.CPU)
		}
		got.CPU, want.CPU = nil, nil
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s, %s: got %+v, want %+v", data, usage, got, want)
		}
	}
	const ms = time.Millisecond
	all := []time.Duration{50 * ms, 20 * ms, 30 * ms}
	none := []time.Duration{NotReported, NotReported, NotReported}
	check(recordedData, recordedUsage, Event{CPU: all, Memory: 246607872, Processes: 213, Interfaces: 1, Sent: 20839000})
	check(recordedIdle, recordedUsage, Event{CPU: all})
	check(`{}`, `{}`, Event{CPU: none})
	check(`{"memory":null,"pids":null}`, `{}`, Event{CPU: none})
	check(`{"memory":{"usage":null},"pids":{"current":null},"more":[{}]}`, `{}`, Event{CPU: none})

	// A name stands for a container, unless it is the ID of another one.
	check(`{}`, `{"app":1,"p":2}`, Event{CPU: []time.Duration{2, 1, NotReported}})
	// Containers that are not known are counted and added up.
	check(`{}`, `{"p":1,"other":2,"é x":3}`, Event{CPU: []time.Duration{1, NotReported, NotReported}, Unknown: 2, UnknownCPU: 5})
	check(`{}`, `{"a":9223372036854775807,"b":1}`, Event{CPU: none, Unknown: 2, UnknownCPU: math.MaxInt64})
	check(`{"network_interfaces":[{"Name":"a","TxBytes":9223372036854775807},{"TxBytes":1,"Name":"b"}]}`, `{}`,
		Event{CPU: none, Interfaces: 2, Sent: math.MaxInt64})
}

func TestEventRules(t *testing.T) {
	refuse := func(reply string, rule Rule) {
		t.Helper()
		_, err := readEvent(reply)
		wantRule(t, reply, err, rule)
	}
	usage := func(usage string, rule Rule) {
		t.Helper()
		refuse(eventReply(`{}`, usage), rule)
	}
	data := func(data string, rule Rule) {
		t.Helper()
		refuse(eventReply(data, `{}`), rule)
	}
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	usage(`null`, RuleField)
	usage(`[]`, RuleField)
	usage(`{"p":null}`, RuleField)
	usage(`{"p":"1"}`, RuleField)
	usage(`{"p":1,"p":1}`, RuleField)
	usage(`{"app":1,"p-2":1}`, RuleField)
	usage(`{"p":-1}`, RuleUsage)
	usage(`{"p":1.5}`, RuleInteger)
	usage(`{"p":9223372036854775808}`, RuleInteger)
	usage(`{"":1}`, RuleName)
	usage(`{"\u001b[31m":1}`, RuleName)
	usage("{\"\xff\":1}", RuleName)
	usage("{\"a\tb\":1}", RuleJSON)
	usage(`{"`+strings.Repeat("a", maxContainerName+1)+`":1}`, RuleName)
	usage(`{`+many(MaxContainers+1, `"c%d":0`)+`}`, RuleTooMany)

	data(`null`, RuleField)
	data(`{"memory":{"usage":{"usage":-1}}}`, RuleUsage)
	data(`{"memory":{},"memory":{}}`, RuleField)
	data(`{"memory":null,"memory":{}}`, RuleField)
	data(`{"pids":{"current":-1}}`, RuleUsage)
	data(`{"network_interfaces":{}}`, RuleField)
	data(`{"network_interfaces":[null]}`, RuleField)
	data(`{"network_interfaces":[{"Name":"a"}]}`, RuleField)
	data(`{"network_interfaces":[{"Name":"a","TxBytes":-1}]}`, RuleUsage)
	data(`{"network_interfaces":[`+many(maxInterfaces+1, `{"Name":"e%d","TxBytes":0}`)+`]}`, RuleTooMany)

	refuse(strings.Replace(eventReply(`{}`, `{}`), `"id":"p"`, `"id":"p-2"`, 1), RuleContainer)
	refuse(strings.Replace(eventReply(`{}`, `{}`), `"id":"p",`, ``, 1), RuleField)
	refuse(`{"success":true,"err":"","result":{"containerUsage":{}}}`, RuleField)
	refuse(`{"success":true,"err":"","result":null}`, RuleField)
	refuse(`{"success":true,"err":"no","result":{"event":{"id":"p","data":{}},"containerUsage":{}}}`, RuleContradiction)
	refuse(`{"success":false,"err":"no such container","result":null}`, RuleError)
	refuse(eventReply(`{}`, `{}`)+`{}`, RuleJSON)
}

// TestEventIncomplete: each beginning of a reply may be continued, and none but the whole is a reply.
func TestEventIncomplete(t *testing.T) {
	whole := eventReply(recordedData, recordedUsage)
	for n := range whole {
		if _, err := readEvent(whole[:n]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%s: got %v", whole[:n], err)
		}
	}
}

// TestEventSize: the limits for containers and interfaces are those of the largest accepted reply.
func TestEventSize(t *testing.T) {
	var usage []string
	for i := range MaxContainers {
		usage = append(usage, fmt.Sprintf(`"%0*d":%d`, maxContainerName, i, int64(math.MaxInt64)))
	}
	reply := eventReply(recordedData, "{"+strings.Join(usage, ",")+"}")
	if _, err := readEvent(reply); err != nil {
		t.Error(err)
	}
	if len(reply) > MaxEventReply {
		t.Errorf("a reply of %d bytes is longer than %d", len(reply), MaxEventReply)
	}
}

// FuzzReadEvent: every result keeps the promises of Event, and every error is of a known kind.
func FuzzReadEvent(f *testing.F) {
	f.Add([]byte(eventReply(recordedData, recordedUsage)))
	f.Add([]byte(eventReply(recordedIdle, `{"app":1,"other":2}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ReadEvent(control.NewReply(data), "p", pod)
		switch broken := new(Breach); {
		case err == nil:
			small := slices.Min(e.CPU)
			if len(e.CPU) != len(pod) || small < NotReported || min(e.Memory, e.Processes, e.Sent, int64(e.UnknownCPU)) < 0 || e.Unknown > MaxContainers {
				t.Errorf("accepted %+v", e)
			}
		case !errors.Is(err, ErrIncomplete) && !errors.As(err, &broken):
			t.Errorf("got %v, which is neither a breach nor %v", err, ErrIncomplete)
		}
	})
}
