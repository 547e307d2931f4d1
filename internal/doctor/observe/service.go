package observe

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/sandmeter/sandmeter/internal/doctor"
)

// serviceFile has the settings of the package's service, as an EnvironmentFile of systemd.
const serviceFile = "/etc/default/sandmeter"

// service looks at the settings of the package's service if no server runs. They count as those of
// the server with which sandboxes are compared.
func (n *node) service() {
	if n.CheckService == nil || len(n.observed.Servers) > 0 {
		return
	}
	text, err := readFile(n.host(serviceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	n.observed.Service.File = serviceFile
	if err != nil {
		n.incomplete("settings of the service: " + err.Error())
		return
	}
	variables := parseEnvironment(string(text))
	settings, err := n.CheckService(func(name string) string { return variables[name] })
	if err != nil {
		n.observed.Service.Err = err.Error()
		return
	}
	n.Settings = settings
	for _, root := range settings.Roots {
		n.named = append(n.named, namedRoot{root, 0, doctor.Usual})
	}
}

// parseEnvironment returns the variables of an EnvironmentFile of systemd: a line NAME=VALUE each,
// where the value may be quoted and comments begin with # or ;. Lines that go on in the next one
// are not supported, because no setting of the server needs them.
func parseEnvironment(text string) map[string]string {
	variables := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		value = strings.TrimSpace(value)
		for _, quote := range []string{`"`, "'"} {
			if len(value) > 1 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
				value = value[1 : len(value)-1]
				break
			}
		}
		variables[strings.TrimSpace(name)] = value
	}
	return variables
}
