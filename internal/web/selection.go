package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Parameters that select the contents of a page. The filters are regular expressions. All other
// parameters match exactly and may be repeated.
const (
	paramFilter       = "runsc-sandbox-metrics-filter"
	paramCapabilities = "runsc-capability-filter"
	paramName         = "name[]"
	paramSandbox      = "sandbox"
	paramPod          = "pod"
	paramNamespace    = "namespace"
	paramShard        = "shard"
)

// maxShards limits the number of shards. Each shard costs a scrape.
const maxShards = 1000

// parseSelection returns the selection in the query.
func (h *Handler) parseSelection(query url.Values) (want page.Selection, err error) {
	if want.Metrics, err = h.filter(query.Get(paramFilter), "metric"); err != nil {
		return want, err
	}
	if want.Capabilities, err = h.filter(query.Get(paramCapabilities), "capability"); err != nil {
		return want, err
	}
	if text := query.Get(paramShard); text != "" {
		if want.Sandboxes.Shard, err = parseShard(text); err != nil {
			return want, refuse(http.StatusBadRequest, "provided shard %q is refused: %v", text, err)
		}
	}
	want.Names = snapshot.NewValues(query[paramName])
	want.Sandboxes.IDs = snapshot.NewValues(query[paramSandbox])
	want.Sandboxes.Pods = snapshot.NewValues(query[paramPod])
	want.Sandboxes.Namespaces = snapshot.NewValues(query[paramNamespace])
	return want, nil
}

func (h *Handler) filter(text, what string) (*page.Filter, error) {
	f, err := h.filters.Compile(text)
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, refuse(http.StatusBadRequest, "provided %s filter is not a valid regular expression: %v", what, wrong)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "provided %s filter is refused: %v", what, err)
	}
	return f, nil
}

// parseShard parses a shard in the form I/N.
func parseShard(text string) (snapshot.Shard, error) {
	index, count, _ := strings.Cut(text, "/")
	i, indexErr := strconv.ParseUint(index, 10, 32)
	n, countErr := strconv.ParseUint(count, 10, 32)
	if indexErr != nil || countErr != nil || i >= n || n > maxShards {
		return snapshot.Shard{}, fmt.Errorf("give I/N, such as 0/4, with I from 0 to N-1 and N up to %d", maxShards)
	}
	return snapshot.Shard{Index: int(i), Count: int(n)}, nil
}
