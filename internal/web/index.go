package web

import (
	_ "embed"
	"html"
	"net/http"
	"strings"
)

//go:embed index.html
var indexText string

// writeIndex serves the page for people who look at what listens here. Links are relative, since the handler may be mounted at a prefix.
// For a few words html/template is too much: linking it costs every server 2 MB of memory.
func (h *Handler) writeIndex(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	words := strings.NewReplacer(
		"{{version}}", html.EscapeString(h.options.Version),
		"{{roots}}", html.EscapeString(strings.Join(h.options.Roots(), ", ")),
		"{{metrics}}", html.EscapeString(strings.TrimPrefix(h.options.MetricsPath, "/")),
	)
	_, _ = words.WriteString(w, indexText) // an error is the client's having gone away
	return nil
}
