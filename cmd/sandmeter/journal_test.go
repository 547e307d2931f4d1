package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// TestJournal: on systemd's journal, each line begins with its priority, in every format, and files have
// none.
func TestJournal(t *testing.T) {
	check := func(format, want string, run func(*serverLog)) {
		t.Helper()
		journal, err := os.Create(filepath.Join(t.TempDir(), "journal"))
		if err != nil {
			t.Fatal(err)
		}
		defer journal.Close()
		var st syscall.Stat_t
		if err := syscall.Fstat(int(journal.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
		log, err := (&logFlags{"debug", format}).open(journal)
		if err != nil {
			t.Fatal(err)
		}
		run(log)
		log.close()
		text, err := os.ReadFile(journal.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := regexp.MustCompile(`"?time"?[:=][^ ,]+[ ,]`).ReplaceAllString(string(text), ""); got != want {
			t.Errorf("the journal gets\n%s\nwant\n%s", got, want)
		}
	}
	levels := func(log *serverLog) {
		log.Debug("d")
		log.With("a", 1).Info("i")
		log.WithGroup("g").Warn("w", "b", 2)
		log.Error("e")
	}
	check(formatText, "<7>level=DEBUG msg=d\n<6>level=INFO msg=i a=1\n<4>level=WARN msg=w g.b=2\n<3>level=ERROR msg=e\n", levels)
	check(formatJSON, `<7>{"level":"DEBUG","msg":"d"}`+"\n"+`<6>{"level":"INFO","msg":"i","a":1}`+"\n"+
		`<4>{"level":"WARN","msg":"w","g":{"b":2}}`+"\n"+`<3>{"level":"ERROR","msg":"e"}`+"\n", levels)

	end := func(log *serverLog) {
		if err := log.end(t.Context(), errors.New("why")); !errors.As(err, new(cli.LoggedError)) {
			t.Error(err)
		}
	}
	check(formatText, "<3>sandmeter: why\n", end)
	check(formatJSON, `<3>{"level":"ERROR","msg":"Metric server failed","err":"why"}`+"\n", end)
	check(formatText, "<6>level=INFO msg=i\n<4>level=WARN msg=\"Log lines dropped: the output was blocked or failed\" dropped=1\n", func(log *serverLog) {
		_, _ = log.stderr.Write(make([]byte, maxLogQueue+1)) // does not fit
		log.Info("i")
	})
}
