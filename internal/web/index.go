package web

import (
	_ "embed"
	"html"
	"net/http"
	"strings"
)

//go:embed index.html
var indexText string

// writeIndex serves the front page. Its links are relative because the handler may be mounted at a
// prefix. It does not use html/template, because linking that package costs every server 2 MB of
// memory.
func (h *Handler) writeIndex(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	words := strings.NewReplacer(
		"{{version}}", html.EscapeString(h.options.Version),
		"{{roots}}", html.EscapeString(strings.Join(h.options.Roots(), ", ")),
		"{{metrics}}", html.EscapeString(strings.TrimPrefix(h.options.MetricsPath, "/")),
	)
	_, _ = words.WriteString(w, indexText) // an error means that the client has disconnected
	return nil
}
