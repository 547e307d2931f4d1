package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A section is a part of a document: what is below a heading, without the heading.
type section struct {
	t    *testing.T
	name string // for messages
	text string
}

// readDocument returns a document of docs/.
func readDocument(t *testing.T, name string) section {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return section{t, name, string(text)}
}

// section returns the part below a heading, which is given with its number signs, up to the next
// heading.
func (s section) section(heading string) section {
	s.t.Helper()
	_, below, found := strings.Cut("\n"+s.text, "\n"+heading+"\n")
	if !found {
		s.t.Fatalf("%s has no heading %q", s.name, heading)
	}
	var text strings.Builder
	inBlock := false
	for line := range strings.Lines(below) {
		inBlock = inBlock != strings.HasPrefix(line, "```") // a number sign in a block begins a comment
		if !inBlock && strings.HasPrefix(line, "#") {
			break
		}
		text.WriteString(line)
	}
	return section{s.t, s.name + ", " + heading, text.String()}
}

// blocks returns the code blocks of a language.
func (s section) blocks(language string) []string {
	var blocks []string
	rest := "\n" + s.text
	for {
		_, after, found := strings.Cut(rest, "\n```"+language+"\n")
		if !found {
			return blocks
		}
		block, next, _ := strings.Cut(after, "```")
		blocks = append(blocks, block)
		rest = next
	}
}

// block returns the only code block of a language.
func (s section) block(language string) string {
	s.t.Helper()
	blocks := s.blocks(language)
	if len(blocks) != 1 {
		s.t.Fatalf("%s has %d blocks of %s, want 1", s.name, len(blocks), language)
	}
	return blocks[0]
}

// replaced returns a text in which each of the old texts is replaced by the new text that follows
// it. A test fails if an old text is missing, because it would run something else than it intends.
func (s section) replaced(text string, oldNew ...string) string {
	s.t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			s.t.Fatalf("%s has no %q in\n%s", s.name, oldNew[i], text)
		}
	}
	return strings.NewReplacer(oldNew...).Replace(text)
}
