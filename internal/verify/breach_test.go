package verify

import (
	"slices"
	"testing"
)

// TestOfRegistration: an honest reply of another build breaks these rules, and no others.
func TestOfRegistration(t *testing.T) {
	of := []Rule{RuleUnregistered, RuleType, RuleHelp, RuleLabels, RuleLabelValue, RuleBounds}
	for _, rule := range []Rule{RuleJSON, RuleField, RuleContradiction, RuleError, RuleFuture, RuleStale, RuleOrder, RuleUnregistered, RuleType, RuleHelp,
		RuleLabels, RuleLabelValue, RuleSeriesTwice, RuleOneValue, RuleKind, RuleInteger, RuleNumber, RuleNegative, RuleDecrease, RuleBounds, RuleBucket,
		RuleDeviation, RuleMin, RuleMax, RuleForm, RuleBefore} {
		if got, want := rule.OfRegistration(), slices.Contains(of, rule); got != want {
			t.Errorf("%s: %v, want %v", rule, got, want)
		}
	}
}
