package page

import (
	"strings"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Naming decides the names and units of families.
type Naming string

// The namings. docs/metrics.md lists the names of both.
const (
	// RunscNaming has the names and units of gVisor's own metric server.
	RunscNaming Naming = "runsc"
	// PrometheusNaming follows Prometheus's conventions: names of counters end in _total, times are
	// in seconds, families with value 1 that describe something end in _info, and names of the
	// server's own families begin with sandmeter_ instead of the exporter's prefix and meta_.
	PrometheusNaming Naming = "prometheus"
)

// ownPrefix begins the names of the server's own families in PrometheusNaming. The exporter's
// prefix must not begin with it.
const ownPrefix = "sandmeter_"

// naming names the families of pages.
type naming struct {
	Naming
	prefix string // of reported families, and in RunscNaming of the server's own
	usage  families.UsageNames
}

// A title is what a family is called.
type title struct {
	name, help string
	perSecond  int64 // by what values are divided: 1, unless the page converts them to seconds
}

// plain returns the title of a metric with its name as it is. Whole names have the unit of the page
// already.
func (n naming) plain(m *schema.Metric) title {
	if m.Whole {
		return title{m.Name, m.Help, m.Unit.PerSecond()}
	}
	return title{n.prefix + m.Name, m.Help, 1}
}

// own returns the title of one of the server's own metrics.
func (n naming) own(m *schema.Metric) title {
	if n.Naming == RunscNaming || m.Whole {
		return n.plain(m)
	}
	t := inSeconds(m, ownPrefix+strings.TrimPrefix(m.Name, "meta_"))
	if base, ok := strings.CutSuffix(t.name, "_metadata"); ok {
		t.name = base + "_info"
	}
	return t
}

// reported returns the title of a registered metric. A name that already ends in _total stays.
func (n naming) reported(m *schema.Metric) title {
	if n.Naming == RunscNaming {
		return n.plain(m)
	}
	t := inSeconds(m, n.prefix+m.Name)
	if m.Type == schema.Counter && (t.perSecond > 1 || !strings.HasSuffix(t.name, "_total")) {
		t.name += "_total"
	}
	if t.help == "" {
		t.help = "runsc registers this metric without a description."
	}
	return t
}

// inSeconds returns the title of a metric in seconds if it is a time in another unit.
func inSeconds(m *schema.Metric, name string) title {
	if m.Unit == schema.NoUnit {
		return title{name, m.Help, 1}
	}
	unit := m.Unit.String()
	return title{strings.TrimSuffix(name, "_"+unit) + "_seconds", strings.ReplaceAll(m.Help, unit, "seconds"), m.Unit.PerSecond()}
}
