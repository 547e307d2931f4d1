package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/share"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Paths of the JSON API.
const (
	pathSandboxes = "/api/v1/sandboxes"
	pathSandbox   = "/api/v1/sandboxes/{id}"
	pathStatus    = "/api/v1/status"
	pathOpenAPI   = "/api/v1/openapi.json"
	pathDiscovery = "/sd"
)

// apiMaxAge is the maximum age of the snapshot behind a document, so polling clients cost about one
// query per sandbox and apiMaxAge.
const apiMaxAge = time.Second

// A document is the key of a JSON document. Requests with equal keys share its bytes.
type document struct {
	api.Life       // zero: all sandboxes
	discovery bool // the targets; ID then holds their address
	status    bool // the server
}

func (h *Handler) handleAPI() {
	h.handle(pathSandboxes, h.listSandboxes)
	h.handle(pathSandbox, h.showSandbox)
	h.handle(pathDiscovery, h.discover)
	h.handle(pathOpenAPI, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(api.OpenAPI) // an error means that the client has disconnected
		return nil
	})
}

// listSandboxes serves the document of all sandboxes.
func (h *Handler) listSandboxes(w http.ResponseWriter, r *http.Request) error {
	snap, err := h.apiSnapshot(r, snapshot.Selector{})
	if err != nil {
		return err
	}
	return h.sendDocument(w, r, snap, document{}, func() any { return api.ListOf(snap) })
}

// status serves the document about the server. It is served without a snapshot, too: it is for those
// who look for the reason.
func (h *Handler) status(w http.ResponseWriter, r *http.Request) error {
	snap, err := h.apiSnapshot(r, snapshot.Selector{})
	if err != nil {
		return sendJSON(w, http.StatusOK, h.options.Status(nil, err))
	}
	return h.sendDocument(w, r, snap, document{status: true}, func() any { return h.options.Status(snap, nil) })
}

// showSandbox serves the document of one sandbox.
func (h *Handler) showSandbox(w http.ResponseWriter, r *http.Request) error {
	query, err := queryOf(r, "")
	if err != nil {
		return err
	}
	of := api.Life{ID: r.PathValue("id"), Root: query.Get("runtime_root"), Iteration: query.Get("iteration")}
	snap, err := h.apiSnapshot(r, snapshot.Selector{IDs: snapshot.NewValues([]string{of.ID})})
	if err != nil {
		return err
	}
	found := api.Find(snap, of)
	switch len(found) {
	case 0:
		return sendJSON(w, http.StatusNotFound, api.NotFound(of.ID))
	case 1:
		return h.sendDocument(w, r, snap, document{Life: of}, func() any { return api.DetailOf(snap, found[0], h.options.Pages.Prefix()) })
	}
	return sendJSON(w, http.StatusConflict, api.Ambiguous(of.ID, found))
}

// discover serves targets for Prometheus: one per sandbox, or one per shard. The targets have the
// address that the client used.
func (h *Handler) discover(w http.ResponseWriter, r *http.Request) error {
	query, err := queryOf(r, "")
	if err != nil {
		return err
	}
	if text := query.Get("shards"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 || n > maxShards {
			return refuse(http.StatusBadRequest, "provided number of shards %q is refused: give a number from 1 to %d", text, maxShards)
		}
		return sendJSON(w, http.StatusOK, api.ShardsOf(r.Host, int(n)))
	}
	snap, err := h.apiSnapshot(r, snapshot.Selector{})
	if err != nil {
		return err
	}
	return h.sendDocument(w, r, snap, document{discovery: true, Life: api.Life{ID: r.Host}}, func() any { return api.TargetsOf(snap, r.Host) })
}

// apiSnapshot returns a snapshot for a document, with at least the sandboxes that of selects.
func (h *Handler) apiSnapshot(r *http.Request, of snapshot.Selector) (*snapshot.Snapshot, error) {
	deadline := time.Now().Add(timeLimit(r.Header.Get(headerTimeout)))
	return h.snapshot(r.Context(), of, deadline, max(apiMaxAge, h.options.MaxAge))
}

// sendDocument sends a document of a snapshot. Requests for the same document share its bytes, and
// the limits for pages apply.
func (h *Handler) sendDocument(w http.ResponseWriter, r *http.Request, snap *snapshot.Snapshot, of document, build func() any) error {
	lease, err := h.shared.Page(context.WithoutCancel(r.Context()), snap, of, func() func(share.Buffer) []byte {
		return func(buffer share.Buffer) []byte {
			text := marshal(build())
			return append(buffer(len(text)), text...)
		}
	})
	if err != nil {
		return err
	}
	defer lease.Release()
	w.Header().Set("Content-Type", "application/json")
	h.send(w, lease)
	return nil
}

func sendJSON(w http.ResponseWriter, status int, document any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(document)) // an error means that the client has disconnected
	return nil
}

// marshal returns a document as JSON followed by a newline.
func marshal(document any) []byte {
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // cannot fail: documents only have strings, integers, finite numbers and times
	}
	return append(text, '\n')
}
