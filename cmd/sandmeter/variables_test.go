package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestUnknownVariables: the log names variables that no flag has, and what to use instead.
func TestUnknownVariables(t *testing.T) {
	root := newRootCommand(new(config.Config), cli.Stdio{})
	check := func(variable, want string) {
		t.Helper()
		var log testkit.Buffer
		warnOfVariables(slog.New(slog.NewTextHandler(&log, nil)), root, []string{"PATH=/bin", variable + "=x"})
		_, got, _ := strings.Cut(strings.TrimSpace(log.String()), "no effect\" ")
		if got != want {
			t.Errorf("%s: %q, want %q", variable, got, want)
		}
	}
	for _, known := range []string{"SANDMETER_ROOT", "SANDMETER_WEB_LISTEN_ADDRESS", "SANDMETER_ADDRESS", "SANDMETER_PID_FILE", "SANDMETER_SERVER", "SANDMETERS",
		"SANDMETER_PORT", "SANDMETER_PORT_19640_TCP_ADDR", "SANDMETER_SERVICE_HOST", "SANDMETER_REQUIRE_RUNSC"} {
		check(known, "")
	}
	check("SANDMETER_USAGE_DETAIL", `variable=SANDMETER_USAGE_DETAIL instead="SANDMETER_USAGE=own,detail"`)
	check("SANDMETER_ONLY_INSTRUMENTED", `variable=SANDMETER_ONLY_INSTRUMENTED instead="SANDMETER_RUNSC=off"`)
	check("SANDMETER_TIMESTAMPS", `variable=SANDMETER_TIMESTAMPS instead="sandmeter metric-server"`)
	check("SANDMETER_ROTO", "variable=SANDMETER_ROTO instead=SANDMETER_ROOT")
	check("SANDMETER_WEB_LISTEN_ADDR", "variable=SANDMETER_WEB_LISTEN_ADDR instead=SANDMETER_WEB_LISTEN_ADDRESS")
	check("SANDMETER_METRIC_ALOW", "variable=SANDMETER_METRIC_ALOW instead=SANDMETER_METRIC_ALLOW")
	check("SANDMETER_NOTHING_LIKE_IT", "variable=SANDMETER_NOTHING_LIKE_IT")
}
