package main

import (
	"fmt"
	"time"

	"github.com/sandmeter/sandmeter/internal/doctor"
)

// The document of doctor --json. Scripts parse it, so its fields are stable. Unknown values are
// null.
type (
	doctorDocument struct {
		Version   string            `json:"version"` // of this program
		Time      time.Time         `json:"time"`
		Kernel    *string           `json:"kernel"`
		Level     doctor.Level      `json:"level"` // the worst of all checks
		Problems  int               `json:"problems"`
		Warnings  int               `json:"warnings"`
		Checks    []doctor.Result   `json:"checks"`
		Sandboxes []doctorSandbox   `json:"sandboxes"`
		Roots     []doctorRoot      `json:"runtime_roots"`
		Servers   []doctorServer    `json:"servers"`
		Untrusted []doctorUntrusted `json:"servers_not_trusted"`
		Kubelets  []doctorKubelet   `json:"kubelets"`
		Process   doctorProcess     `json:"process"` // this program
		Log       []string          `json:"log"`     // warnings that a server would log
	}
	doctorSandbox struct {
		ID           string           `json:"id"`
		Iteration    string           `json:"iteration"`
		RuntimeRoot  string           `json:"runtime_root"`
		Pod          *string          `json:"pod"`
		Namespace    *string          `json:"namespace"`
		PID          int              `json:"pid"`
		CreatedAt    time.Time        `json:"created_at"`
		QueryStatus  string           `json:"query_status"` // ok, failed, or not_running
		Reason       *string          `json:"reason"`
		Detail       *string          `json:"detail"`
		UsageAbsent  []string         `json:"usage_absent"`
		RunscVersion *string          `json:"runsc_version"`
		RunscBuilt   *time.Time       `json:"runsc_built"` // date of the release or of the code
		MetricServer *string          `json:"metric_server"`
		OnServers    []doctorOnServer `json:"on_servers"` // one per server that replied
	}
	doctorOnServer struct {
		Address     string  `json:"address"`
		Served      bool    `json:"served"`
		QueryStatus *string `json:"query_status"`
		Reason      *string `json:"reason"`
		Hidden      *string `json:"hidden"`
	}
	doctorRoot struct {
		Path   string        `json:"path"`
		Origin doctor.Origin `json:"origin"`
		PID    *int          `json:"pid"` // of the process that names it
		Error  *string       `json:"error"`
	}
	doctorServer struct {
		Address         string         `json:"address"`
		Error           *string        `json:"error"`
		Command         *string        `json:"command"`
		Roots           []string       `json:"roots"`
		Usage           *string        `json:"usage"`
		FinalMetricsLog *string        `json:"final_metrics_log"`
		Process         *doctorProcess `json:"process"`
	}
	doctorUntrusted struct {
		PID     *int    `json:"pid"`
		Address *string `json:"address"`
		Reason  string  `json:"reason"`
	}
	doctorKubelet struct {
		PID          int     `json:"pid"`
		File         *string `json:"file"`           // of its configuration
		StatsFromCRI *bool   `json:"stats_from_cri"` // the feature gate PodAndContainerStatsFromCRI
		Error        *string `json:"error"`
	}
	doctorProcess struct {
		PID          int     `json:"pid"`
		UID          int     `json:"uid"`
		Capabilities string  `json:"capabilities"` // hexadecimal
		PIDNamespace *uint64 `json:"pid_namespace"`
		OpenFiles    *uint64 `json:"open_files"`
	}
)

// known returns a pointer to a value, or nil if it is the zero value.
func known[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func documentOf(o *doctor.Observed, report *doctor.Report) doctorDocument {
	d := doctorDocument{
		Version: programVersion(), Time: o.Time, Kernel: known(o.Kernel),
		Level: report.Level, Problems: report.Problems, Warnings: report.Warnings, Checks: report.Results,
		Sandboxes: []doctorSandbox{}, Roots: []doctorRoot{}, Servers: []doctorServer{}, Untrusted: []doctorUntrusted{}, Kubelets: []doctorKubelet{},
		Process: *processOf(&o.Self), Log: append([]string{}, o.Log...),
	}
	onServers := doctor.OnServers(o)
	for i := range o.Sandboxes {
		s := &o.Sandboxes[i]
		d.Sandboxes = append(d.Sandboxes, doctorSandboxOf(s, o.Built(s), onServers(s)))
	}
	for _, k := range o.Kubelets {
		kubelet := doctorKubelet{PID: k.PID, File: known(k.File), Error: known(k.Err)}
		if k.Err == "" {
			kubelet.StatsFromCRI = &k.StatsFromCRI
		}
		d.Kubelets = append(d.Kubelets, kubelet)
	}
	for _, s := range o.UntrustedServers {
		d.Untrusted = append(d.Untrusted, doctorUntrusted{known(s.PID), known(s.Address), s.Why})
	}
	for _, r := range o.Roots {
		err := r.Err
		if r.Untrusted != "" {
			err = r.Untrusted
		}
		d.Roots = append(d.Roots, doctorRoot{r.Path, r.Origin, known(r.PID), known(err)})
	}
	for i := range o.Servers {
		s := &o.Servers[i]
		server := doctorServer{Address: s.Address, Error: known(s.Err), Command: known(s.Settings.Command),
			Roots: append([]string{}, s.Settings.Roots...), Usage: known(s.Settings.Usage), FinalMetricsLog: known(s.Settings.FinalMetricsLog)}
		if s.Process.Known {
			server.Process = processOf(&s.Process)
		}
		d.Servers = append(d.Servers, server)
	}
	return d
}

func doctorSandboxOf(s *doctor.Sandbox, built time.Time, views []doctor.View) doctorSandbox {
	d := doctorSandbox{
		ID: s.ID, Iteration: s.Iteration, RuntimeRoot: s.Root, Pod: known(s.Pod), Namespace: known(s.Namespace), PID: s.PID,
		CreatedAt: s.CreatedAt, QueryStatus: s.Status, Reason: known(s.Reason), Detail: known(s.Detail),
		UsageAbsent: append([]string{}, s.UsageAbsent...), RunscVersion: known(s.Version), RunscBuilt: known(built), MetricServer: known(s.MetricServer),
		OnServers: []doctorOnServer{},
	}
	for _, view := range views {
		on := doctorOnServer{Address: view.Server.Address}
		if served := view.Served; served != nil {
			on.Served, on.QueryStatus, on.Reason, on.Hidden = true, known(served.Status), known(served.Reason), known(served.Hidden)
		}
		d.OnServers = append(d.OnServers, on)
	}
	return d
}

func processOf(p *doctor.Process) *doctorProcess {
	return &doctorProcess{p.PID, p.UID, fmt.Sprintf("%016x", p.Capabilities), known(p.PIDNamespace), known(p.OpenFiles)}
}
