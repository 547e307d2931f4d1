package page

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
)

// SeriesRules are an operator's rules about the series of all pages. The nil SeriesRules changes
// nothing. It is safe for concurrent use.
type SeriesRules struct {
	allow, deny []*regexp.Regexp // of names of families
}

// NewSeriesRules returns the rules, or nil if there are none. allow and deny are regular expressions
// that have to match the whole name of a family, as it is on the page. The families of pages are
// those that an expression of allow matches, or that are about the server itself, or all if allow is
// empty; and of these those that no expression of deny matches. CheckPattern accepts all of them.
func NewSeriesRules(allow, deny []string) *SeriesRules {
	if len(allow)+len(deny) == 0 {
		return nil
	}
	return &SeriesRules{allow: compileAll(allow), deny: compileAll(deny)}
}

// compileAll compiles expressions that have to match a whole name, as in Prometheus's relabeling.
func compileAll(texts []string) (all []*regexp.Regexp) {
	for _, text := range texts {
		all = append(all, regexp.MustCompile("^(?s:"+text+")$"))
	}
	return all
}

// CheckPattern returns why an expression is not valid.
func CheckPattern(text string) error {
	if text == "" {
		return errors.New("give a regular expression, such as runsc_fs_.*")
	}
	_, err := regexp.Compile(text) // by itself: a)|(b is valid only within a group
	if err == nil {
		_, err = regexp.Compile("^(?s:" + text + ")$")
	}
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		return fmt.Errorf("%s in %q", wrong.Code, wrong.Expr)
	}
	return err
}

// keeps reports whether a family of a group is on pages.
func (r *SeriesRules) keeps(name string, group int) bool {
	if r == nil {
		return true
	}
	matches := func(re *regexp.Regexp) bool { return re.MatchString(name) }
	ofSandbox := group != groupServer && group != groupTotals
	if len(r.allow) > 0 && ofSandbox && !slices.ContainsFunc(r.allow, matches) {
		return false
	}
	return !slices.ContainsFunc(r.deny, matches)
}
