package web

import (
	_ "embed"
	"html"
	"net/http"
	"strings"
)

//go:embed index.html
var indexText string

// writeIndex serves the page for people who look what is listening here. For two words html/template is too much: to link it costs every
// server 2 MB of memory.
func writeIndex(w http.ResponseWriter, roots string) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	words := strings.NewReplacer("{{roots}}", html.EscapeString(roots), "{{metrics}}", html.EscapeString(pathMetrics))
	_, _ = words.WriteString(w, indexText) // an error is the client's having gone away
	return nil
}
