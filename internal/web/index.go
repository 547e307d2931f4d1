package web

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed index.html
var indexText string

var indexPage = template.Must(template.New("index").Parse(indexText))

// writeIndex serves the page for people who look what is listening here.
func writeIndex(w http.ResponseWriter, rootDir string) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = indexPage.Execute(w, struct{ RootDir, Metrics string }{rootDir, pathMetrics}) // an error is the client's having gone away
	return nil
}
