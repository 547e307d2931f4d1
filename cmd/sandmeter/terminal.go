package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// What every terminal of the last decades understands. The alternate screen is a second one without memory: what is drawn on it is gone
// when it is left, and the lines on it stay where they are when the terminal gets another width.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, and no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	eraseLine   = "\x1b[K" // from the cursor on
	eraseBelow  = "\x1b[J" // from the cursor on
	endOfStyle  = "\x1b[0m"
)

// Styles of a span.
const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
)

// span is a text in one style, or in none. Each of its runes takes one column.
type span struct{ text, style string }

// line is what stands side by side.
type line []span

func (l line) columns() int {
	n := 0
	for _, s := range l {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

// clip returns as much of the line as fits into columns.
func (l line) clip(columns int) line {
	var clipped line
	for _, s := range l {
		text := []rune(s.text)
		text = text[:min(len(text), columns)]
		columns -= len(text)
		clipped = append(clipped, span{string(text), s.style})
	}
	return clipped
}

func (l line) render(colours bool) string {
	var b strings.Builder
	for _, s := range l {
		if colours && s.style != "" {
			b.WriteString(s.style + s.text + endOfStyle)
		} else {
			b.WriteString(s.text)
		}
	}
	return b.String()
}

// texts makes lines of plain texts.
func texts(plain ...string) []line {
	var lines []line
	for _, text := range plain {
		lines = append(lines, line{{text: text}})
	}
	return lines
}

// labelled puts a label before each line, if there is one.
func labelled(label string, lines []line) []line {
	if label == "" {
		return lines
	}
	var all []line
	for _, l := range lines {
		all = append(all, append(line{{text: label + "  "}}, l...))
	}
	return all
}

// A display shows tables, one after the other.
type display interface {
	show(table []line) error
	close() error
}

// newDisplay returns a display, with notes on what it shows. On a terminal a table takes the place of the one before; hints are notes
// that a reader of anything else has elsewhere. The caller closes it.
func newDisplay(out io.Writer, hints, notes []line) (display, error) {
	if t := findTerminal(out); t != nil {
		return openScreen(t, slices.Concat(hints, notes)), nil
	}
	return scroll{out}, scroll{out}.show(notes)
}

// scroll is the display that is no terminal: each table stands below the one before.
type scroll struct{ io.Writer }

func (s scroll) show(table []line) error {
	text := "\n"
	for _, l := range table {
		text += l.render(false) + "\n"
	}
	_, err := io.WriteString(s, text)
	return err
}

func (scroll) close() error { return nil }

// terminal is one on which a cursor can be moved.
type terminal struct {
	io.Writer
	size    func() (columns, rows int)
	colours bool
}

// findTerminal returns the terminal that is written to, or nil.
func findTerminal(out io.Writer) *terminal {
	file, isFile := out.(*os.File)
	if kind := os.Getenv("TERM"); !isFile || kind == "" || kind == "dumb" {
		return nil
	}
	if _, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err != nil {
		return nil
	}
	return &terminal{file, func() (columns, rows int) { return windowSize(file) }, os.Getenv("NO_COLOR") == ""}
}

// windowSize returns the size of a terminal. One that does not tell is as large as terminals have always been.
func windowSize(file *os.File) (columns, rows int) {
	if size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		return int(size.Col), int(size.Row)
	}
	return 80, 24
}

// screen is the display that draws in place. It draws again when the terminal gets another size, and gives the terminal back while the
// program is suspended.
type screen struct {
	*terminal
	notes   []line
	signals chan os.Signal
	ended   chan struct{} // closed when no more signals are handled

	mu    sync.Mutex
	table []line // shown last
}

func openScreen(t *terminal, notes []line) *screen {
	s := &screen{terminal: t, notes: notes, signals: make(chan os.Signal, 1), ended: make(chan struct{})}
	signal.Notify(s.signals, unix.SIGWINCH, unix.SIGTSTP)
	fmt.Fprint(t, enterScreen)
	go s.handleSignals()
	return s
}

// close gives the terminal back, and leaves the last table on it.
func (s *screen) close() error {
	signal.Stop(s.signals)
	close(s.signals)
	<-s.ended
	text := leaveScreen
	for _, l := range s.table {
		text += l.render(s.colours) + "\n"
	}
	_, err := io.WriteString(s, text)
	return err
}

func (s *screen) handleSignals() {
	defer close(s.ended)
	for sig := range s.signals {
		s.mu.Lock()
		if sig == unix.SIGTSTP {
			s.suspend()
		}
		_ = s.draw() // a terminal that cannot be written to is noticed by show
		s.mu.Unlock()
	}
}

// suspend stops the program, as Ctrl-Z wants it to, and returns when it goes on.
func (s *screen) suspend() {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, unix.SIGCONT)
	defer signal.Stop(goesOn)
	fmt.Fprint(s, leaveScreen)
	_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
	select {
	case <-goesOn:
	case <-time.After(time.Second): // nothing stops the first process of a container
	}
	fmt.Fprint(s, enterScreen)
}

func (s *screen) show(table []line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = table
	return s.draw()
}

// draw draws what there is room for. It erases only what it does not write on, and writes once, so that nothing flickers. The lines of the
// table are clipped, since they say nothing when they wrap; notes may wrap, so that what they say can be copied.
func (s *screen) draw() error {
	columns, rows := s.size()
	var lines []line
	for _, l := range s.table {
		lines = append(lines, l.clip(columns))
	}
	lines = slices.Concat(lines, []line{nil}, s.notes)
	text := home
	for _, l := range lines {
		taken := max(1, (l.columns()+columns-1)/columns)
		if taken > rows {
			break
		}
		rows -= taken
		text += l.render(s.colours)
		if l.columns() == 0 || l.columns()%columns > 0 {
			text += eraseLine // at the end of a full row it would erase the last column
		}
		if rows > 0 {
			text += "\r\n" // below the last row it would scroll
		}
	}
	if rows > 0 {
		text += eraseBelow
	}
	_, err := io.WriteString(s, text)
	return err
}
