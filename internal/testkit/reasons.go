//go:build linux

// Package testkit has helpers that the tests of several packages share.
package testkit

import (
	"strings"

	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// Reasons for which a server refuses a sandbox: values of the family meta_sandbox_failure, and
// wantAbsent for a sandbox that is not on the page at all.
const (
	wantStalled      = "stalled"
	wantClosed       = "closed"
	wantTooLong      = "too_long"
	wantRefused      = "reply_refused"
	wantRegistration = "registration_refused"
	wantTexts        = "texts_refused"
	wantAbsent       = "absent"
	wantServed       = "" // the lie is harmless, or affects only the liar's own series
)

// wantsOfTopic has the usual reason for each topic of liars.
var wantsOfTopic = map[string]string{
	"stalling": wantStalled, "nonsense": wantRefused, "field": wantRefused, "number": wantRefused, "point": wantRefused,
	"time": wantRefused, "history": wantRefused, "histogram": wantRefused, "text": wantServed, "savings": wantServed,
	"state": wantAbsent, "registration": wantRegistration,
}

// wants has the reasons of liars that differ from the usual reason of their topic, by name. If
// there are two, timing decides.
var wants = map[string]string{
	"hangs-up":              wantClosed,
	"hangs-up-half-way":     wantClosed,
	"never-ends":            wantTooLong + "|" + wantRefused,
	"floods-points":         wantTooLong + "|" + wantRefused,
	"many-points":           wantTooLong + "|" + wantRefused,
	"blank-without-end":     wantTooLong,
	"digits-without-end":    wantTooLong,
	"string-without-end":    wantTooLong,
	"floods-blanks":         wantTooLong,
	"floods-unknown":        wantTooLong,
	"floods-error":          wantTooLong,
	"deep-lists":            wantTooLong,
	"deep-objects":          wantTooLong + "|" + wantRefused,
	"deep-unknown":          wantTooLong + "|" + wantRefused,
	"name-long":             wantTooLong,
	"label-long":            wantTooLong,
	"error-long":            wantTooLong,
	"replies-twice":         wantRefused + "|" + wantServed,
	"replies-and-more":      wantRefused + "|" + wantServed,
	"error-hostile":         wantRefused,
	"error-raw":             wantRefused,
	"label-raw":             wantRefused,
	"name-raw":              wantRefused,
	"help-raw":              wantRefused,
	"pod-long":              wantTexts,
	"metadata-many":         wantTexts,
	"honest-once":           wantStalled,
	"state-socket-long":     wantServed,
	"state-socket-device":   wantServed,
	"state-socket-relative": wantServed,
	"state-socket-abstract": wantServed,

	"state-registration-list": wantRegistration,
	"state-registration-text": wantRegistration,

	// Missing fields that runsc leaves out too, and fields that the server ignores.
	"descriptors":     wantServed + "|" + wantRefused, // a kernel before 6.16 lets them through
	"err-missing":     wantServed,
	"err-renamed":     wantServed,
	"err-capitals":    wantServed,
	"data-missing":    wantServed,
	"data-renamed":    wantServed,
	"data-capitals":   wantServed,
	"val-object":      wantServed,
	"int-missing":     wantServed,
	"int-renamed":     wantServed,
	"int-capitals":    wantServed,
	"int=-0":          wantServed,
	"external-labels": wantServed,
	// The last whole version of the file is served, if the server has read one.
	"state-changing": wantAbsent + "|" + wantServed,
	"state-flapping": wantAbsent + "|" + wantServed,
	// The server escapes these texts.
	"registration-help-hostile":  wantServed,
	"registration-value-hostile": wantServed,
}

// Reasons returns the reasons for which a server may refuse a liar. They include "" if the server
// may serve it.
func Reasons(l liars.Liar) []string {
	reason, other := wants[l.Name]
	if !other {
		reason = wantsOfTopic[l.Topic]
	}
	return strings.Split(reason, "|")
}
