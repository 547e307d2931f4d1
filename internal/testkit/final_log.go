//go:build linux

package testkit

import "github.com/sandmeter/sandmeter/internal/simulate/liars"

// finalLogRefusals have a part of the line that the log has about a liar of liars.OfFinalLog, by name.
var finalLogRefusals = map[string]string{
	"log-link":       "it is a symbolic link",
	"log-dangling":   "it is a symbolic link",
	"log-of-self":    "it is a symbolic link",
	"log-fifo":       "it is not a regular file",
	"log-directory":  "it is not a regular file",
	"log-hard-link":  "it has hard links",
	"log-unreadable": "its 4398046511104 bytes exceed the limit",
	"log-long":       "bytes exceed the limit",
	"log-cut":        "the file differs from the form",
	"log-twice":      "the file differs from the form",
	"log-noise":      "the file differs from the form",
	"log-lines":      "the file differs from the form",
	"log-other-time": "the file differs from the form",
	"log-time":       "the file differs from the form",
	"log-count":      "it announces 18 data points and has 8",
	"log-foreign":    "the metric is not registered",
	"log-type":       "the type differs from the registered type",
	"log-help":       "the help text differs from the registered text",
	"log-label":      "the labels differ from the registered fields",
	"log-falls":      "a counter decreased (from 51 to 50)",
	"log-overflow":   "the value is not an integer",
	"log-float":      "the value is not an integer",
	"log-negative":   "a counter or bucket is negative (-60)",
}

// FinalLogRefusal returns a part of the line that the log has about a liar of liars.OfFinalLog, which
// has opened 51 files by its last sample, and 60 by its end.
func FinalLogRefusal(l liars.Liar) string {
	if text := finalLogRefusals[l.Name]; text != "" {
		return text
	}
	return "no refusal of " + l.Name + " is known; add one to finalLogRefusals"
}
