package vm

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var (
	few    = flag.Bool("few", false, "Debian 12 only, with one end of each kind, and nothing else")
	each   = flag.Int("each", 3, "ends of each kind, with and without scrapes")
	served = flag.String("server", "unit", "what serves: unit, or for ends only, a container with the chart's security context: chart, or chart-net with the network of the machine and CAP_NET_ADMIN")
)

// envImages names the environment variable with the directory of the disks, which `make test-vm` sets.
const envImages = "SANDMETER_VM"

// A part is a part of the specification. All parts use the same machine, one after the other.
type part struct {
	name string
	run  func(m *machine)
}

// TestVM: the server on a node of each Debian release, installed with its package.
func TestVM(t *testing.T) {
	images := os.Getenv(envImages)
	if images == "" {
		t.Skip("the disks of virtual machines take minutes to build: run make test-vm")
	}
	programs := makePrograms(t)
	for _, suite := range []string{"bookworm", "trixie", "bullseye"} {
		if *few && suite != "bookworm" {
			continue
		}
		t.Run(suite, func(t *testing.T) {
			m := boot(t, suite, filepath.Join(images, suite), programs)
			m.serve()
			if !*few && *served == "unit" {
				m.stay()
			}
			for _, p := range m.parts() {
				t.Run(p.name, func(t *testing.T) {
					m.t = t
					p.run(m)
				})
				m.t = t
			}
		})
	}
}

// parts returns the parts that the flags select.
func (m *machine) parts() []part {
	unseen, scraped := part{"ends", (*machine).endsUnseen}, part{"ends with scrapes", (*machine).endsScraped}
	switch {
	case *few:
		return []part{unseen}
	case *served != "unit":
		return []part{unseen, scraped}
	}
	parts := []part{
		{"page", (*machine).page}, {"usage", (*machine).usage}, {"doctor", (*machine).doctor}, unseen, scraped,
		{"restart", (*machine).restart}, {"upgrade", (*machine).upgrade}, {"sockets", (*machine).sockets}, {"examples", (*machine).examples},
		{"ends with cgroupfs", (*machine).endsCgroupfs},
	}
	if m.suite == "trixie" { // containerd 1.6 and before do not understand the shim
		parts = append(parts, part{"ends with containerd", (*machine).endsContainerd})
	}
	return append(parts, part{"unit tests", (*machine).unitTests}, part{"reboot", (*machine).restartOfMachine}, part{"purge", (*machine).purge})
}
