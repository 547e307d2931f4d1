package verify

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrIncomplete is returned for bytes that may be the beginning of an honest reply.
var ErrIncomplete = errors.New("the reply is not complete")

// A Rule is a rule that every reply has to keep. Its text describes a reply that breaks it.
type Rule string

// The rules of a reply.
const (
	RuleJSON          Rule = "malformed JSON"
	RuleField         Rule = "a field is missing, duplicate or of the wrong type"
	RuleContradiction Rule = "the reply reports both success and an error"
	RuleError         Rule = "the sandbox reports an error"
	RuleFuture        Rule = "the timestamp is in the future"
	RuleStale         Rule = "the timestamp is more than 10 seconds old"
	RuleOrder         Rule = "the timestamp is before that of the previous reply"
	RuleUnregistered  Rule = "the metric is not registered"
	RuleType          Rule = "the type differs from the registered type"
	RuleHelp          Rule = "the help text differs from the registered text"
	RuleLabels        Rule = "the labels differ from the registered fields"
	RuleLabelValue    Rule = "a label value is not registered"
	RuleSeriesTwice   Rule = "duplicate series"
	RuleOneValue      Rule = "a point needs either a value or a histogram"
	RuleKind          Rule = "a histogram has a plain value, or a counter or gauge has a histogram"
	RuleInteger       Rule = "the value is not an integer"
	RuleNumber        Rule = "invalid number"
	RuleNegative      Rule = "a counter or bucket is negative"
	RuleDecrease      Rule = "a counter decreased"
	RuleBounds        Rule = "the buckets differ from the registered buckets"
	RuleBucket        Rule = "a bucket decreased"
	RuleDeviation     Rule = "the sum of squared deviations decreased or is negative"
	RuleMin           Rule = "the minimum increased"
	RuleMax           Rule = "the maximum decreased"

	// The rules of replies about the use of resources.
	RuleContainer Rule = "the reply is about another container"
	RuleName      Rule = "the name of a container is empty, too long or not printable"
	RuleUsage     Rule = "a figure of usage is negative"
	RuleTooMany   Rule = "too many containers or network interfaces"

	// The rules of final metrics logs, which keep those of replies, too.
	RuleForm   Rule = "the file differs from the form in which runsc writes it"
	RuleBefore Rule = "the timestamp is before the creation of the sandbox"
)

// OfRegistration reports whether the rule compares a point with the definition of its metric in the
// registration. With the registration of another build, an honest reply breaks such a rule.
func (r Rule) OfRegistration() bool {
	switch r {
	case RuleUnregistered, RuleType, RuleHelp, RuleLabels, RuleLabelValue, RuleBounds:
		return true
	}
	return false
}

// A Breach is the first rule that a reply, or a final metrics log, was found to break. The whole of
// it is refused.
type Breach struct {
	Rule   Rule
	Metric string // the registered metric that breaks the rule; empty: the rule is not about one metric
	Detail string // for the log: printable, whatever the sandbox sent
	Final  bool   // a final metrics log, not a reply
}

func (b *Breach) Error() string {
	text := "reply refused: "
	if b.Final {
		text = "final metrics log refused: "
	}
	if b.Metric != "" {
		text += "metric " + b.Metric + ": "
	}
	text += string(b.Rule)
	if b.Detail != "" {
		text += " (" + b.Detail + ")"
	}
	return text
}

func breach(rule Rule, metric, format string, args ...any) *Breach {
	return &Breach{Rule: rule, Metric: metric, Detail: fmt.Sprintf(format, args...)}
}

// quote returns untrusted bytes in a form for the log: short, printable, on one line.
func quote(foreign []byte) string {
	const most = 100
	if len(foreign) <= most {
		return strconv.QuoteToASCII(string(foreign))
	}
	return strconv.QuoteToASCII(string(foreign[:most])) + "…"
}
