package simulate

import (
	"strings"
	"testing"
	"time"
)

// TestEvent compares replies with recorded ones of real sandboxes.
func TestEvent(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "p", More: []Container{{ID: "p-2"}}})
	check := func(container, want string) {
		t.Helper()
		if got := string(ask(t, s.SocketPath(), `{"method":"containerManager.Event","arg":"`+container+`"}`)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	const head = `{"success":true,"err":"","result":{"event":{"type":"stats","id":"p","data":{"cpu":{"usage":{}},"memory":{"usage":{"limit":0,`
	const rest = `"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}}`
	idle := head + rest + `,"pids":{},"network_interfaces":null}},"containerUsage":{"p":0,"p-2":0}}}`
	check("p", idle)
	check("p-2", strings.Replace(idle, `"id":"p"`, `"id":"p-2"`, 1))
	check("p-3", `{"success":false,"err":"container \"p-3\" not found","result":null}`)
	s.Report(Use{
		CPU:        map[string]time.Duration{"p": 10 * time.Millisecond},
		Memory:     map[string]int64{"p": 3018752},
		Processes:  map[string]int64{"p": 5},
		Interfaces: []Interface{{Name: "eth0", TxBytes: 7}},
	})
	check("p", head+`"usage":3018752,`+rest+`,"pids":{"current":5},"network_interfaces":[{"Name":"eth0","RxBytes":0,"RxPackets":0,"RxErrors":0,`+
		`"RxDropped":0,"TxBytes":7,"TxPackets":0,"TxErrors":0,"TxDropped":0}]}},"containerUsage":{"p":10000000}}}`)
}
