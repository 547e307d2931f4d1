//go:build linux

// Package testkit has what the tests of several packages share.
package testkit

import (
	"strings"

	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// Reasons for which a server refuses a sandbox. They are those of the family meta_sandbox_failure, and one for a sandbox that the server does
// not even list.
const (
	wantStalled      = "stalled"
	wantClosed       = "closed"
	wantTooLong      = "too_long"
	wantUnreachable  = "unreachable"
	wantRefused      = "reply_refused"
	wantRegistration = "registration_refused"
	wantTexts        = "texts_refused"
	wantAbsent       = "absent"
	wantServed       = "" // what is said is harmless, or said of the liar itself
)

// wantsOfTopic has the reason for which most liars of a topic are refused.
var wantsOfTopic = map[string]string{
	"stalling": wantStalled, "nonsense": wantRefused, "field": wantRefused, "number": wantRefused, "point": wantRefused,
	"time": wantRefused, "history": wantRefused, "histogram": wantRefused, "text": wantServed, "savings": wantServed,
	"state": wantAbsent, "registration": wantRegistration,
}

// wants has the reasons of the others, by their names. Where there are two, what comes first decides, and that is chance.
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
	"state-socket-long":     wantUnreachable,
	"state-socket-device":   wantUnreachable,
	"state-socket-relative": wantUnreachable,
	"state-socket-abstract": wantUnreachable,

	"state-registration-list": wantRegistration,
	"state-registration-text": wantRegistration,

	// Fields that runsc itself leaves out, so that their absence is honest, and fields that are ignored.
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
	// What was known before goes on being served; at first sight there may be nothing whole to know.
	"state-changing": wantAbsent + "|" + wantServed,
	"state-flapping": wantAbsent + "|" + wantServed,
	// They are escaped.
	"registration-help-hostile":  wantServed,
	"registration-value-hostile": wantServed,
}

// Reasons returns the reasons for one of which a server should refuse a liar; "" is among them if the server may serve it.
func Reasons(l liars.Liar) []string {
	reason, other := wants[l.Name]
	if !other {
		reason = wantsOfTopic[l.Topic]
	}
	return strings.Split(reason, "|")
}
