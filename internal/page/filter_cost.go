package page

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Limits of a filter. HTTP clients may be hostile. A list of the names of all metrics is within the
// limits.
const (
	maxText = 4 << 10 // bytes
	maxCost = 10_000  // steps
)

// Steps of character classes in a text: the number of ranges of the largest Unicode class, twice if the
// text ignores case, and approximately the number of characters to which others expand then.
const (
	unicodeClassCost = 700 // \pL
	perlClassCost    = 64  // \w
	posixClassCost   = 128 // [:ascii:]
)

// classCost returns the cost of parsing the character classes of a text, in steps. A class of 3
// bytes has up to 700 ranges, and a range that ignores case is expanded character by character: 4
// KB of them take seconds and 100 MB. So they are counted before the text is parsed. It ignores the
// syntax: everything that looks like a class counts, even after an escaped backslash. A scanner
// that followed the syntax would miss classes if it differed from the parser; this one can only
// count too many.
func classCost(text string) int {
	fold := ignoresCase.MatchString(text)
	cost := 0
	for i := 0; i < len(text) && cost <= maxCost; i++ {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, `\p`) || strings.HasPrefix(rest, `\P`):
			cost += unicodeClassCost
			if fold {
				cost += unicodeClassCost
			}
		case !fold: // the ranges of other classes are no more than the bytes of the text
		case rest[0] == '\\' && len(rest) > 1 && strings.IndexByte("dDsSwW", rest[1]) >= 0:
			cost += perlClassCost
		case strings.HasPrefix(rest, "[:"):
			cost += posixClassCost
		case rest[0] == '-':
			cost += foldCost(rest[1:])
		}
	}
	return cost
}

// ignoresCase matches a text of which any part may ignore case: it has a group such as (?i) or (?s-mi:.
var ignoresCase = regexp.MustCompile(`\(\?[^:)]*i`)

const (
	minFold  = 'A'     // the first character that has another case
	maxFold  = 0x1e943 // the last one; see regexp/syntax
	maxOctal = 0o777
)

// foldCost returns how many characters the parser may visit to expand a range that ignores case.
// The text begins after the range's hyphen. Only the upper end counts, since the lower end is hard
// to find from there.
func foldCost(text string) int {
	high, _ := utf8.DecodeRuneInString(text)
	switch {
	case strings.HasPrefix(text, `\x{`):
		high = maxFold // any character
	case high == '\\':
		high = maxOctal // the greatest character of all other escape sequences
	}
	return max(0, int(min(high, maxFold))-minFold)
}

// treeCost returns how many instructions a tree compiles to, plus the ranges of its character
// classes. Repetitions multiply instructions, also when nested, but not ranges.
func treeCost(re *syntax.Regexp) int {
	instructions, ranges := count(re)
	return instructions + ranges
}

func count(re *syntax.Regexp) (instructions, ranges int) {
	for _, sub := range re.Sub {
		i, r := count(sub)
		instructions += i
		ranges += r
	}
	switch re.Op {
	case syntax.OpLiteral:
		instructions = len(re.Rune)
	case syntax.OpCharClass:
		ranges = len(re.Rune) / 2
	case syntax.OpCapture:
		instructions += 2
	case syntax.OpAlternate:
		instructions += len(re.Sub) - 1
	case syntax.OpPlus, syntax.OpQuest:
		instructions++
	case syntax.OpStar:
		instructions += 2
	case syntax.OpRepeat:
		instructions = repeated(instructions, re.Min, re.Max)
	}
	return max(1, instructions), ranges
}

// repeated returns the number of instructions of {low,high}, or of {low,} if high < 0.
func repeated(instructions, low, high int) int {
	if high < 0 {
		return max(1, low)*instructions + 2
	}
	return high*instructions + high - low
}
