package verify

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrIncomplete is returned for bytes that may be the beginning of an honest reply.
var ErrIncomplete = errors.New("the reply is not complete")

// A Rule is what a reply has to keep. Its text says how it was broken.
type Rule string

// The rules of a reply.
const (
	RuleJSON          Rule = "it is not the JSON of a reply"
	RuleMember        Rule = "a member is missing, doubled or of the wrong type"
	RuleContradiction Rule = "it is a success and an error at once"
	RuleError         Rule = "the sandbox reports an error"
	RuleFuture        Rule = "its time is in the future"
	RuleStale         Rule = "its time is more than 10 seconds ago"
	RuleOrder         Rule = "its time is before that of the previous one"
	RuleUnregistered  Rule = "the metric is not registered"
	RuleType          Rule = "the type is not the registered one"
	RuleHelp          Rule = "the help text is not the registered one"
	RuleLabels        Rule = "the labels are not exactly the registered fields"
	RuleLabelValue    Rule = "a label's value is not an allowed one"
	RuleSeriesTwice   Rule = "a series is there twice"
	RuleOneValue      Rule = "there is not exactly one of value and histogram"
	RuleKind          Rule = "a histogram has a plain value, or a counter or gauge a histogram"
	RuleInteger       Rule = "a counter or gauge is not an integer"
	RuleNumber        Rule = "a number is not a number"
	RuleNegative      Rule = "a counter is below 0"
	RuleDecrease      Rule = "a counter decreased"
	RuleBounds        Rule = "the buckets are not the registered ones"
	RuleBucket        Rule = "a bucket decreased"
	RuleDeviation     Rule = "the sum of squared deviations decreased or is negative"
	RuleMin           Rule = "the minimum rose"
	RuleMax           Rule = "the maximum fell"
)

// A Breach is the first rule that a reply was found to break. The whole reply is refused for it.
type Breach struct {
	Rule   Rule
	Metric string // the registered metric that it is about, "" when it is none
	Detail string // more for people; printable, whatever the sandbox sent
}

func (b *Breach) Error() string {
	text := "reply refused: "
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
	return &Breach{rule, metric, fmt.Sprintf(format, args...)}
}

// quote makes foreign bytes fit for a person's eyes: short, printable, on one line.
func quote(foreign []byte) string {
	const most = 100
	if len(foreign) <= most {
		return strconv.QuoteToASCII(string(foreign))
	}
	return strconv.QuoteToASCII(string(foreign[:most])) + "…"
}
