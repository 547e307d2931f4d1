package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// fakeTerminal is a terminal in memory. It understands what the program writes to one, and notes all else as a fault.
type fakeTerminal struct {
	mu            sync.Mutex
	columns, rows int
	fakePage               // shown
	own           fakePage // that the alternate one hides
	alternate     bool
	hidden        bool // the cursor
	style         string
	changes       int // of cells
	scrolls       int // while alternate
	faults        []string
	rest          []byte // the beginning of something
}

type fakePage struct {
	cells    [][]fakeCell
	row, col int // of the cursor; col is columns when the last column was written
}

type fakeCell struct {
	rune
	style string
}

var blank = fakeCell{rune: ' '}

func newFakeTerminal(columns, rows int) *fakeTerminal {
	t := &fakeTerminal{}
	t.resize(columns, rows)
	return t
}

func (t *fakeTerminal) size() (columns, rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.columns, t.rows
}

// resize cuts what has no room any more.
func (t *fakeTerminal) resize(columns, rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.columns, t.rows = columns, rows
	for _, p := range []*fakePage{&t.fakePage, &t.own} {
		p.cells = slices.Grow(p.cells, rows)[:min(len(p.cells), rows)]
		for len(p.cells) < rows {
			p.cells = append(p.cells, nil)
		}
		for i, row := range p.cells {
			row = row[:min(len(row), columns)]
			p.cells[i] = append(row, slices.Repeat([]fakeCell{blank}, columns-len(row))...)
		}
		p.row, p.col = min(p.row, rows-1), min(p.col, columns-1)
	}
}

func (t *fakeTerminal) readFrom(r io.Reader) {
	buf := make([]byte, 1000)
	for {
		n, err := r.Read(buf)
		t.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

var escape = regexp.MustCompile(`^\x1b\[([?\d;]*)([A-Za-z])`)

func (t *fakeTerminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, p...)
	for len(t.rest) > 0 {
		n := t.next()
		if n == 0 {
			break // there is more to come
		}
		t.rest = t.rest[n:]
	}
	return len(p), nil
}

// next does what comes next and returns its length, or 0 if its end is missing.
func (t *fakeTerminal) next() int {
	if t.rest[0] != '\x1b' {
		if !utf8.FullRune(t.rest) {
			return 0
		}
		r, n := utf8.DecodeRune(t.rest)
		t.put(r)
		return n
	}
	if m := escape.FindSubmatch(t.rest); m != nil {
		t.obey(string(m[1]), string(m[2]))
		return len(m[0])
	}
	if len(t.rest) < len("\x1b[?1049h") {
		return 0
	}
	t.put('\x1b')
	return 1
}

func (t *fakeTerminal) put(r rune) {
	switch {
	case r == '\r':
		t.col = 0
	case r == '\n':
		t.lineFeed()
	case r < ' ' || r == utf8.RuneError:
		t.faults = append(t.faults, fmt.Sprintf("character %q", r))
	default:
		if t.col == t.columns {
			t.col = 0
			t.lineFeed()
		}
		t.set(t.row, t.col, fakeCell{r, t.style})
		t.col++
	}
}

func (t *fakeTerminal) set(row, col int, c fakeCell) {
	if t.cells[row][col] != c {
		t.changes++
	}
	t.cells[row][col] = c
}

func (t *fakeTerminal) lineFeed() {
	if t.row < t.rows-1 {
		t.row++
		return
	}
	if t.alternate {
		t.scrolls++
	}
	t.cells = append(t.cells[1:], slices.Repeat([]fakeCell{blank}, t.columns))
}

// erase erases a row from a column on. As real ones do, it takes a cursor behind the last column for one on it.
func (t *fakeTerminal) erase(row, col int) {
	for col = min(col, t.columns-1); col < t.columns; col++ {
		t.set(row, col, blank)
	}
}

func (t *fakeTerminal) obey(params, command string) {
	switch params + command {
	case "H":
		t.row, t.col = 0, 0
	case "K":
		t.erase(t.row, t.col)
	case "J":
		t.erase(t.row, t.col)
		for row := t.row + 1; row < t.rows; row++ {
			t.erase(row, 0)
		}
	case "?25l", "?25h":
		t.hidden = command == "l"
	case "?1049h":
		t.own, t.alternate = t.fakePage, true
		t.cells = make([][]fakeCell, t.rows)
		for i := range t.cells {
			t.cells[i] = slices.Repeat([]fakeCell{blank}, t.columns)
		}
	case "?1049l":
		t.fakePage, t.alternate = t.own, false
	case "0m":
		t.style = ""
	case "1m", "31m", "32m":
		t.style = params
	default:
		t.faults = append(t.faults, "sequence "+params+command)
	}
}

// text is what is shown, without the blanks at the ends of rows.
func (t *fakeTerminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, row := range t.cells {
		var text []rune
		for _, c := range row {
			text = append(text, c.rune)
		}
		b.WriteString(strings.TrimRight(string(text), " ") + "\n")
	}
	return b.String()
}

// styles is what is shown, with the number of a style for each of its cells and a dot for the others.
func (t *fakeTerminal) styles() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, row := range t.cells {
		for _, c := range row {
			b.WriteString(strings.Repeat(".", max(0, 1-len(c.style))) + c.style)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (t *fakeTerminal) isAlternate() bool { t.mu.Lock(); defer t.mu.Unlock(); return t.alternate }
func (t *fakeTerminal) isHidden() bool    { t.mu.Lock(); defer t.mu.Unlock(); return t.hidden }

// check fails the test if a real terminal might show something else.
func (t *fakeTerminal) check(test *testing.T) {
	test.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.faults) > 0 || t.scrolls > 0 {
		test.Errorf("the terminal is written %q, and scrolls %d times", t.faults, t.scrolls)
	}
}

// newScreen returns a screen on a fake terminal.
func newScreen(t *testing.T, columns, rows int, notes ...string) (*screen, *fakeTerminal) {
	term := newFakeTerminal(columns, rows)
	fmt.Fprint(term, "before\r\n")
	return openScreen(&terminal{Writer: term, size: term.size, colours: true}, texts(notes...)), term
}

func TestScreen(t *testing.T) {
	s, term := newScreen(t, 9, 6, "note", "with wraps")
	check := func(want string) {
		t.Helper()
		if got := term.text(); got != want {
			t.Errorf("the screen is\n%swant\n%s", got, want)
		}
		term.check(t)
	}
	show := func(table ...string) {
		t.Helper()
		if err := s.show(texts(table...)); err != nil {
			t.Error(err)
		}
	}
	show("123456789", "1234567890", "")
	check("123456789\n123456789\n\n\nnote\n\n") // the last note has no room
	show("1234567", "äöü")
	check("1234567\näöü\n\nnote\nwith wrap\ns\n")
	show("1")
	check("1\n\nnote\nwith wrap\ns\n\n")
	show()
	check("\nnote\nwith wrap\ns\n\n\n")
	show("1", "2", "3", "4", "5", "6", "7")
	check("1\n2\n3\n4\n5\n6\n")
	show("123456789", "123456789", "123456789", "123456789", "123456789", "123456789", "123456789")
	check(strings.Repeat("123456789\n", 6))
	show("last")
	if err := s.close(); err != nil {
		t.Error(err)
	}
	check("before\nlast\n\n\n\n\n")
	if term.isHidden() {
		t.Error("there is no cursor")
	}
}

// TestScreenDoesNotFlicker: what stays the same is never anything else.
func TestScreenDoesNotFlicker(t *testing.T) {
	s, term := newScreen(t, 20, 8, "a note that wraps in the middle")
	defer s.close()
	changes := func(table ...string) int {
		t.Helper()
		before := term.changes
		if err := s.show(texts(table...)); err != nil {
			t.Error(err)
		}
		return term.changes - before
	}
	changes("HEAD", "value 123")
	if n := changes("HEAD", "value 123"); n != 0 {
		t.Errorf("%d cells change though nothing does", n)
	}
	if n := changes("HEAD", "value 124"); n != 1 {
		t.Errorf("%d cells change where 1 does", n)
	}
}

// TestScreenInEverySize: whatever size the terminal gets, and whatever was on it, it shows the beginning of what there is to be seen.
func TestScreenInEverySize(t *testing.T) {
	table := []string{"SANDBOX  OPENS", "one          1", "two        222"}
	const note = "some note that is rather long"
	s, term := newScreen(t, 1, 1, note)
	defer s.close()
	for columns := 1; columns <= 32; columns++ {
		for rows := 1; rows <= 12; rows++ {
			term.resize(columns, rows)
			fmt.Fprint(term, "\x1b[H"+strings.Repeat("x", columns*rows)) // garbage
			if err := s.show(texts(table...)); err != nil {
				t.Fatal(err)
			}
			if got, want := term.text(), drawn(table, note, columns, rows); got != want {
				t.Fatalf("%d columns and %d rows:\n%swant\n%s", columns, rows, got, want)
			}
		}
	}
	term.check(t)
}

// drawn is what a screen should show, found in the plainest way.
func drawn(table []string, note string, columns, rows int) string {
	var want []string
	for _, text := range table {
		want = append(want, text[:min(len(text), columns)])
	}
	want = append(want, "")
	var wrapped []string
	for rest := note; rest != ""; rest = rest[min(len(rest), columns):] {
		wrapped = append(wrapped, rest[:min(len(rest), columns)])
	}
	if len(want)+len(wrapped) <= rows {
		want = append(want, wrapped...)
	}
	want = append(want[:min(len(want), rows)], slices.Repeat([]string{""}, max(0, rows-len(want)))...)
	for i := range want {
		want[i] = strings.TrimRight(want[i], " ") + "\n"
	}
	return strings.Join(want, "")
}

func TestScreenRedrawsWhenResized(t *testing.T) {
	s, term := newScreen(t, 20, 2)
	defer s.close()
	if err := s.show(texts("a long line of text")); err != nil {
		t.Fatal(err)
	}
	term.resize(6, 3)
	term.resize(10, 3)
	if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	(&world{T: t}).until("it draws again", func() bool { return term.text() == "a long lin\n\n\n" })
}

func TestScreenOnATerminalThatIsGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	s := openScreen(&terminal{Writer: w, size: func() (int, int) { return 80, 24 }}, nil)
	if err := s.show(texts("text")); err == nil {
		t.Error("show: no error")
	}
	if err := s.close(); err == nil {
		t.Error("close: no error")
	}
}

func TestScreenHasColours(t *testing.T) {
	table := []line{{{"HEAD", bold}}, {{"  ", ""}, {"up", green}, {" ", ""}, {"down", red}}}
	check := func(colours bool, want string) {
		t.Helper()
		term := newFakeTerminal(8, 3)
		s := openScreen(&terminal{Writer: term, size: term.size, colours: colours}, nil)
		defer s.close()
		if err := s.show(table); err != nil {
			t.Error(err)
		}
		if got := term.styles(); got != want {
			t.Errorf("the styles are\n%swant\n%s", got, want)
		}
	}
	check(true, "1111....\n..3232.313131\n........\n")
	check(false, "........\n........\n........\n")
}

func TestScroll(t *testing.T) {
	t.Setenv("TERM", "xterm")
	var out strings.Builder
	d, err := newDisplay(&out, texts("hint"), texts("note"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1", "2"} {
		if err := d.show([]line{{{"HEAD", bold}}, {{text, green}}}); err != nil {
			t.Error(err)
		}
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	if got, want := out.String(), "\nnote\n\nHEAD\n1\n\nHEAD\n2\n"; got != want {
		t.Errorf("written is %q, want %q", got, want)
	}
}

// TestFindTerminal: only what can move a cursor is drawn on, and has colours unless they are unwanted.
func TestFindTerminal(t *testing.T) {
	_, slave := openPTY(t)
	defer slave.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	check := func(out io.Writer, kind, noColor, want string) {
		t.Helper()
		t.Setenv("TERM", kind)
		t.Setenv("NO_COLOR", noColor)
		got := "nothing"
		if found := findTerminal(out); found != nil {
			columns, rows := found.size()
			got = fmt.Sprintf("%dx%d, colours %t", columns, rows, found.colours)
		}
		if got != want {
			t.Errorf("%T, TERM=%s, NO_COLOR=%s: %s, want %s", out, kind, noColor, got, want)
		}
	}
	check(slave, "xterm", "", "80x24, colours true") // it does not tell its size
	size := unix.Winsize{Col: 100, Row: 7}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		t.Fatal(err)
	}
	check(slave, "xterm", "", "100x7, colours true")
	check(slave, "xterm", "1", "100x7, colours false")
	check(slave, "dumb", "", "nothing")
	check(slave, "", "", "nothing")
	check(null, "xterm", "", "nothing")
	check(&strings.Builder{}, "xterm", "", "nothing")
}

// openPTY returns both sides of a terminal. The caller closes the slave; the master goes with the test.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	fail(err)
	t.Cleanup(func() { master.Close() })
	fail(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	fail(err)
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	fail(err)
	return master, slave
}
