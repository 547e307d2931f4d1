package e2e

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/sandmeter/sandmeter/metricclient"
)

// TestClientReadsAsPrometheusDoes reads the inputs of the test suites of Prometheus's parsers with
// metricclient, line by line, and compares the result with those parsers. The inputs are all texts
// in the tests of the pinned modules, valid or invalid in any format.
func TestClientReadsAsPrometheusDoes(t *testing.T) {
	lines := foreignLines(t)
	accepted := 0
	for _, line := range lines {
		if checkClientLine(t, line) {
			accepted++
		}
	}
	t.Logf("of %d lines, %d are accepted", len(lines), accepted)
	if accepted < 100 || len(lines) < 3*accepted/2 {
		t.Errorf("of %d lines, %d are accepted: these are not the test suites", len(lines), accepted)
	}
}

// TestClientReadsOurPages: the strict parser accepts the pages of Sandmeter and of gVisor's own
// server.
func TestClientReadsOurPages(t *testing.T) {
	for _, name := range []string{
		"../internal/collect/testdata/page.golden", "../internal/collect/testdata/reference.txt", "../internal/expo/testdata/page.golden",
		"../metricclient/testdata/metrics.txt",
	} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		for line := range strings.SplitSeq(string(page), "\n") {
			if !checkClientLine(t, line) {
				t.Errorf("%s: %q is refused", name, line)
			}
		}
	}
}

// FuzzClientReadsAsPrometheusDoes generates more lines from those of the test suites.
func FuzzClientReadsAsPrometheusDoes(f *testing.F) {
	for _, line := range foreignLines(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for part := range strings.SplitSeq(line, "\n") {
			checkClientLine(t, part)
		}
	})
}

// checkClientLine reads one line with metricclient and with the parsers of Prometheus, and reports
// whether metricclient accepts it.
func checkClientLine(t *testing.T, line string) bool {
	t.Helper()
	got, err := clientReads(line)
	want, wantErr := prometheusReads(line)
	switch {
	case err != nil && wantErr == nil && !quotedName(line):
		t.Errorf("%q is refused: %v", line, err)
	case err == nil && wantErr != nil:
		t.Errorf("%q is accepted: %v", line, wantErr)
	case err == nil && got != want:
		t.Errorf("%q is read as %s, not as %s", line, got, want)
	}
	if err != nil && (len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\n\r\x1b")) {
		t.Errorf("%q: the error is %q", line, err)
	}
	return err == nil
}

// clientReads returns the result of metricclient for a line.
func clientReads(line string) (string, error) {
	for s, err := range metricclient.MetricData(line + "\n").Samples() {
		if err != nil {
			return "", err
		}
		return lineText(s.Name, s.Labels, s.Value, s.Time.UnixMilli(), !s.Time.IsZero()), nil
	}
	return "", nil
}

func lineText(name string, labels map[string]string, value float64, ms int64, hasTime bool) string {
	text := seriesText(name, labels) + " " + strconv.FormatFloat(value, 'g', -1, 64)
	if hasTime {
		text += fmt.Sprint(" ", ms)
	}
	return text
}

// Where the parsers are narrower than the description of the format, they get an equivalent line.
var (
	spacedType = regexp.MustCompile(`^#[ \t]*TYPE[ \t]+([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]+`)
	signedTime = regexp.MustCompile(`([ \t])[-+]([0-9]+)$`)
	quoted     = regexp.MustCompile(`^[ \t]*(#[ \t]*(HELP|TYPE)[ \t]+)?[a-zA-Z0-9_:]*"|[{,][ \t]*[a-zA-Z0-9_]*"`)
	bareWord   = regexp.MustCompile(`^#[ \t]*(HELP|TYPE)$`)
)

// prometheusReads returns the result of Prometheus's parser and of its library's for a line. Both
// must accept it.
func prometheusReads(line string) (string, error) {
	line = strings.TrimLeft(line, " \t") // Prometheus takes blanks for a part of the name
	if !strings.HasPrefix(line, "#") || spacedType.MatchString(line) {
		line = strings.TrimRight(line, " \t") // the library takes blanks for a timestamp
	}
	if strings.HasPrefix(line, "#") && bareWord.MatchString(strings.TrimRight(line, " \t")) {
		return "", nil
	}
	fromLibrary, err := libraryLine(line)
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(line, 0) {
		return fromLibrary, nil // Prometheus stops reading at a NUL outside of quotes
	}
	plain := spacedType.ReplaceAllString(line, "# TYPE $1 ")
	if rest, ok := strings.CutPrefix(plain, "#HELP"); ok {
		plain = "# HELP" + rest
	}
	sign := ""
	if !strings.HasPrefix(line, "#") && signedTime.MatchString(line) {
		plain, sign = signedTime.ReplaceAllString(plain, "$1$2"), "signed"
	}
	fromPrometheus, err := prometheusLine(plain)
	if err == nil && sign == "" && fromPrometheus != fromLibrary {
		err = fmt.Errorf("the parsers disagree: %s, %s", fromPrometheus, fromLibrary)
	}
	return fromLibrary, err
}

// libraryLine reads a line with the parser of Prometheus's library.
func libraryLine(line string) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panics: %v", r) // for example at a line that begins with a brace
		}
	}()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(line + "\n"))
	if err != nil {
		return "", err
	}
	for name, family := range families { // one family with one metric
		m := family.Metric[0]
		set := map[string]string{}
		for _, l := range m.Label {
			set[l.GetName()] = l.GetValue()
		}
		text = lineText(name, set, m.GetUntyped().GetValue(), m.GetTimestampMs(), m.TimestampMs != nil)
	}
	return text, nil
}

// prometheusLine reads a line with the parser of Prometheus's scraper.
func prometheusLine(line string) (string, error) {
	p := textparse.NewPromParser([]byte(line+"\n"), labels.NewSymbolTable(), false)
	text := ""
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return "", err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, time, value := p.Series()
		var set labels.Labels
		p.Labels(&set)
		byName := set.Map()
		name := byName[model.MetricNameLabel]
		delete(byName, model.MetricNameLabel)
		var ms int64
		if time != nil {
			ms = *time
		}
		if math.IsNaN(value) {
			value = math.NaN()
		}
		text = lineText(name, byName, value, ms, time != nil)
	}
}

// quotedName reports whether a line may have a quoted name, which later formats allow and
// metricclient refuses.
func quotedName(line string) bool {
	return quoted.MatchString(line)
}

// oddLines are lines that the test suites do not have.
var oddLines = []string{
	"m 1_2", "m 0x1p4", "m 0X1P-4", "m 0x10", "m 1e999", "m 1e-999", "m nan", "m INFINITY", "m 1 1_2", "m 1 0x1", "m 1 -5", "m 1 +5", "m 1 2 ",
	"m\r1", "m 1\r", "m 1 2\r", "\r", "m\v1", "m\f1", "m\u00a01", "m\u00851", "m\u20281", "m{\rl=\"v\"} 1", "m{l=\"v\"\r} 1", "m{l=\"v\"}\r1",
	"m+1", "m-Inf", "m.5", "m{}1", "m {}\t1", "m{} {} 1", "m.n 1", "mä 1", "\ufeffm 1", "m{__name__=\"v\"} 1", "m{l=\"\xff\"} 1", "m{l=\"\\n\xc3\"} 1",
	"m{l=\"\x00\r\u2028\"} 1", `m{l="v",l="v"} 1`, `m{l="v",,} 1`, `m{,} 1`, `m{l="v" a="b"} 1`, `m{l="\t"} 1`, `m{l:a="v"} 1`, `m{l="v"} 1{l="v"}`,
	"#TYPE m gauge", "#TYPE m nothing", "# TYPE m", "# TYPE", "# HELP", "# HELP m", "# TYPE m GAUGE", "# TYPE m gauge\r", "# TYPE m gauge more", "#\tTYPE\tm\tgauge\t",
	"# TYPE m-n gauge", "# HELP m-n help", "# HELP 1 help", `# HELP m \t`, `# HELP m a\`, `# HELP m \\ \n \"`, "# HELP m \xff", "# \xff", "#HELPER m \\t", "# TYPE m gaugehistogram",
}

// foreignLines returns oddLines and the lines of all texts in the tests of Prometheus's parsers.
func foreignLines(tb testing.TB) []string {
	tb.Helper()
	seen := map[string]bool{}
	lines := slices.Clone(oddLines)
	for _, pattern := range []string{"github.com/prometheus/common/expfmt", "github.com/prometheus/prometheus/model/textparse"} {
		dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pattern).Output()
		if err != nil {
			tb.Fatalf("go list %s: %v", pattern, err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*_test.go"))
		if err != nil || len(files) == 0 {
			tb.Fatalf("tests of %s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			for _, text := range textsOf(tb, file) {
				for line := range strings.SplitSeq(text, "\n") {
					if !seen[line] {
						seen[line] = true
						lines = append(lines, line)
					}
				}
			}
		}
	}
	return lines
}

// textsOf returns the values of all string literals of a Go file.
func textsOf(tb testing.TB, file string) (texts []string) {
	tb.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		tb.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				tb.Fatal(err)
			}
			texts = append(texts, text)
		}
		return true
	})
	return texts
}
