package charts

import (
	"regexp"
	"strings"
	"testing"
)

const manifestFile = "../deploy/kubernetes.yaml"

// manifestHead begins the manifest for clusters without helm.
const manifestHead = `# Sandmeter as a DaemonSet, for clusters without helm: kubectl apply -f kubernetes.yaml
# Set the image first, since no public registry has it. This is what the chart in charts/sandmeter renders with its default
# values, and go test . -update in charts/ writes it. See charts/sandmeter/README.md for what else to set.
apiVersion: v1
kind: Namespace
metadata:
  name: sandmeter
  labels:
    # The server needs the host's PID namespace and paths of the node.
    pod-security.kubernetes.io/enforce: privileged
`

// helmLines are lines of a render that tell from where and which version it is.
var helmLines = regexp.MustCompile(`(?m)^(# Source: .*| +(app\.kubernetes\.io/(managed-by|version)|helm\.sh/chart): .*)\n`)

// TestManifest checks that the manifest for clusters without helm is what the chart renders.
func TestManifest(t *testing.T) {
	r := mustRender(t, values{"image": values{"repository": "registry.example/sandmeter", "tag": "VERSION"}})
	text := manifestHead + helmLines.ReplaceAllString(r.Manifest, "")
	if strings.Contains(strings.ToLower(strings.TrimPrefix(text, manifestHead)), "helm") {
		t.Error("the manifest names helm")
	}
	current(t, manifestFile, text)
}
