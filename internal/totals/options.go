package totals

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Options configure a Ledger.
type Options struct {
	By By // the zero value: one group of all sandboxes, and no label
	// Metrics are the names of registered counters of which there are totals, without prefix. A
	// counter with fields counts as the sum of its series. Times in nanoseconds are in seconds on
	// pages. A name that no sandbox registers as a counter stays 0.
	Metrics []string
	Start   time.Time // when the totals were 0: the start of the process
	// NoUsage leaves out the totals of what the host measures, because it measures nothing. They
	// would be 0, which is not true.
	NoUsage bool
}

// A By tells by what sandboxes are grouped. The zero value is none.
type By struct {
	namespace  bool
	annotation string
}

// Texts of a By.
const (
	none             = "none"
	namespace        = "namespace"
	annotationPrefix = "annotation:"
)

// maxKey is the longest key of an annotation, in bytes.
const maxKey = 512

// ParseBy parses none, namespace, or annotation:KEY.
func ParseBy(text string) (By, error) {
	key, isAnnotation := strings.CutPrefix(text, annotationPrefix)
	switch {
	case text == none:
		return By{}, nil
	case text == namespace:
		return By{namespace: true}, nil
	case !isAnnotation:
		return By{}, fmt.Errorf("use %s, %s, or %sKEY", none, namespace, annotationPrefix)
	case key == "":
		return By{}, errors.New("give the key of an annotation, such as annotation:example.com/team")
	case len(key) > maxKey:
		return By{}, fmt.Errorf("the key of the annotation is longer than %d bytes", maxKey)
	}
	return By{annotation: key}, nil
}

// Annotation returns the key of the annotation in the OCI spec of root containers whose value is the
// group; empty: none is.
func (b By) Annotation() string { return b.annotation }

func (b By) grouped() bool { return b != By{} }

// Of returns the group of a sandbox, given its namespace and the value of the annotation. Either may
// be empty.
func (b By) Of(namespace, annotation string) string {
	switch {
	case b.namespace:
		return namespace
	case b.annotation != "":
		return annotation
	}
	return ""
}
