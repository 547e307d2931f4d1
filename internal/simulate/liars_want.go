package simulate

// Reasons for which a server refuses a sandbox its place on the page. They are those of the server's family meta_sandbox_failure, and
// one for a sandbox of which the server does not even know.
const (
	wantStalled      = "stalled"
	wantClosed       = "closed"
	wantTooLong      = "too_long"
	wantUnreachable  = "unreachable"
	wantRefused      = "answer_refused"
	wantRegistration = "registration_refused"
	wantTexts        = "texts_refused"
	wantAbsent       = "absent"
	wantServed       = "" // what is said is harmless, or said of the liar itself
)

// wantsOfTopic has the reason for which most liars of a topic are refused.
var wantsOfTopic = map[string]string{
	"stalling": wantStalled, "nonsense": wantRefused, "member": wantRefused, "number": wantRefused, "point": wantRefused,
	"time": wantRefused, "history": wantRefused, "histogram": wantRefused, "text": wantServed, "savings": wantServed,
	"state": wantAbsent, "registration": wantRegistration,
}

// wants has the reasons of the others, by their names. Where there are two, what comes first decides, and that is chance.
var wants = map[string]string{
	"hangs-up":            wantClosed,
	"hangs-up-half-way":   wantClosed,
	"never-ends":          wantTooLong + "|" + wantRefused,
	"floods-points":       wantTooLong + "|" + wantRefused,
	"many-points":         wantTooLong + "|" + wantRefused,
	"blank-without-end":   wantTooLong,
	"digits-without-end":  wantTooLong,
	"string-without-end":  wantTooLong,
	"floods-blanks":       wantTooLong,
	"floods-unknown":      wantTooLong,
	"floods-error":        wantTooLong,
	"deep-lists":          wantTooLong,
	"deep-objects":        wantTooLong + "|" + wantRefused,
	"deep-unknown":        wantTooLong + "|" + wantRefused,
	"name-long":           wantTooLong,
	"label-long":          wantTooLong,
	"error-long":          wantTooLong,
	"answers-twice":       wantRefused + "|" + wantServed,
	"answers-and-more":    wantRefused + "|" + wantServed,
	"error-hostile":       wantRefused,
	"error-raw":           wantRefused,
	"label-raw":           wantRefused,
	"name-raw":            wantRefused,
	"help-raw":            wantRefused,
	"pod-long":            wantTexts,
	"metadata-many":       wantTexts,
	"honest-once":         wantStalled,
	"state-socket-long":   wantUnreachable,
	"state-socket-device": wantUnreachable,

	"state-registration-list": wantRegistration,
	"state-registration-text": wantRegistration,

	// Members that are as good as absent where runsc itself leaves them out, and such as nobody looks at.
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
	// It is found out when a filter is given.
	"filter-ignored": wantServed,
	// What was known before goes on being served; at first sight there may be nothing whole to know.
	"state-changing":        wantAbsent + "|" + wantServed,
	"state-flapping":        wantAbsent + "|" + wantServed,
	"state-socket-relative": wantServed,
	// They are escaped.
	"registration-help-hostile":  wantServed,
	"registration-value-hostile": wantServed,
}

// want returns the reason for which a liar is refused.
func want(topic, name string) string {
	if reason, other := wants[name]; other {
		return reason
	}
	return wantsOfTopic[topic]
}
