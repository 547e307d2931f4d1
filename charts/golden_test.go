package charts

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

// TestGolden renders the chart with each values file. The manifests are recorded, with the notes
// behind them, and have no field that the APIs do not have.
func TestGolden(t *testing.T) {
	for name, v := range valueFiles(t) {
		r := mustRender(t, v)
		if _, err := decode(r.Manifest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		notes := "# " + strings.ReplaceAll(strings.TrimSpace(r.Info.Notes), "\n", "\n# ")
		text := strings.TrimPrefix(r.Manifest, "---\n") + "---\n" + strings.ReplaceAll(notes, "# \n", "#\n") + "\n"
		current(t, "testdata/golden/"+name+".yaml", text)
	}
}

// TestLint runs `helm lint --strict` with each values file.
func TestLint(t *testing.T) {
	for name, v := range valueFiles(t) {
		for _, m := range lint.All(chartDir, v, "sandmeter", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}
