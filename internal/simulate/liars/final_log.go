package liars

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// OfFinalLog returns liars about their last metrics. Their replies are honest, and Spec.FinalLog has
// to be set before their own Spec changes the spec. A real sandbox holds only the descriptor of its
// log, so those that replace the file do more than one can.
func OfFinalLog() []Liar {
	all := append(fileLiars(), contentLiars()...)
	for i := range all {
		all[i].Topic = "final log"
	}
	return all
}

// logs returns a Liar that writes the result of f for its honest log.
func logs(name, describe string, f func(log []byte) []byte) Liar {
	return is(name, describe, func(s *simulate.Spec) { s.EditFinalLog = f })
}

// leaves returns a Liar that does something to the file of its log before it writes to it, which it
// still does if the file is gone from its path.
func leaves(name, describe string, f func(path string) error) Liar {
	return is(name, describe, func(s *simulate.Spec) {
		path := s.FinalLog
		s.EditFinalLog = func(log []byte) []byte {
			if err := f(path); err != nil {
				panic("liars: " + err.Error())
			}
			return log
		}
	})
}

// replaces returns a Liar with something else at the path of its log.
func replaces(name, describe string, f func(path string) error) Liar {
	return leaves(name, describe, func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return f(path)
	})
}

// fileLiars leave a file that is no log.
func fileLiars() []Liar {
	return []Liar{
		replaces("log-link", "replaces its log by a symbolic link to an endless file", func(path string) error { return os.Symlink("/dev/zero", path) }),
		replaces("log-dangling", "replaces its log by a symbolic link to nothing", func(path string) error { return os.Symlink(path+".missing", path) }),
		replaces("log-fifo", "replaces its log by a FIFO that nobody writes to", func(path string) error { return syscall.Mkfifo(path, 0o600) }),
		replaces("log-directory", "replaces its log by a directory", func(path string) error { return os.Mkdir(path, 0o700) }),
		leaves("log-hard-link", "gives its log a second name", func(path string) error { return os.Link(path, path+".second") }),
		leaves("log-unreadable", "makes its log longer than any memory", func(path string) error { return os.Truncate(path, 1<<42) }),
		replaces("log-of-self", "has a link to itself in place of its log", func(path string) error { return os.Symlink(filepath.Base(path), path) }),
	}
}

// contentLiars write something else to their logs than runsc does.
func contentLiars() []Liar {
	replace := func(name, describe, old, new string) Liar {
		return logs(name, describe, func(log []byte) []byte { return bytes.Replace(log, []byte(old), []byte(new), 1) })
	}
	return []Liar{
		logs("log-cut", "writes half of its log", func(log []byte) []byte { return log[:len(log)/2] }),
		logs("log-twice", "writes its log twice", func(log []byte) []byte { return append(log, log...) }),
		logs("log-long", "writes its log with a megabyte after it", func(log []byte) []byte { return append(log, make([]byte, 1<<20)...) }),
		logs("log-noise", "writes bytes that are no text", func(log []byte) []byte { return []byte(strings.Repeat("\x00\xff\n", len(log)/3)) }),
		logs("log-lines", "writes empty lines", func(log []byte) []byte { return []byte(strings.Repeat("\n", len(log))) }),
		replace("log-foreign", "writes a metric that it has not registered", "runsc_fs_opens", "runsc_fs_closes"),
		replace("log-type", "writes a counter as a gauge", "# TYPE runsc_fs_opens counter", "# TYPE runsc_fs_opens gauge"),
		replace("log-help", "writes another help text", "# HELP runsc_fs_opens ", "# HELP runsc_fs_opens \x1b[31m"),
		replace("log-label", "writes a label that a metric does not have", "\nrunsc_fs_opens ", "\nrunsc_fs_opens{sandbox=\"honest\"} "),
		replace("log-falls", "writes a counter that is less than before", "\nrunsc_fs_opens 60 ", "\nrunsc_fs_opens 50 "),
		replace("log-overflow", "writes a counter that no integer can hold", "\nrunsc_fs_opens 60 ", "\nrunsc_fs_opens 9223372036854775808 "),
		replace("log-negative", "writes a counter below zero", "\nrunsc_fs_opens 60 ", "\nrunsc_fs_opens -60 "),
		replace("log-float", "writes a counter that is no integer", "\nrunsc_fs_opens 60 ", "\nrunsc_fs_opens 6e1 "),
		replace("log-other-time", "writes a sample with a time of its own", "\nrunsc_fs_opens 60 1", "\nrunsc_fs_opens 60 2"),
		replace("log-time", "writes a time in a distant future", "taken at 20", "taken at 29"),
		replace("log-count", "announces more data points than it writes", "containing ", "containing 1"),
	}
}
