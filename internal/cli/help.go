package cli

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

const (
	heading = "heading" // annotation of a flag

	// UsageLine is the annotation of a command with the command line in its help, where it is not the one that
	// cobra makes.
	UsageLine = "usage line"
	// HelpWidth is the number of columns of help that is not for a terminal, and the most that it has.
	HelpWidth = 110
)

// help returns the help of a command, wrapped at a number of columns.
func help(c *cobra.Command, columns int) string {
	var text strings.Builder
	add := func(parts ...string) {
		for _, part := range parts {
			text.WriteString(part)
		}
	}
	add(wrap(cmp.Or(c.Long, c.Short), columns), "\n\nUsage:")
	if c.Runnable() {
		add("\n  ", cmp.Or(c.Annotations[UsageLine], c.UseLine()))
	}
	if c.HasAvailableSubCommands() {
		add("\n  ", c.CommandPath(), " [command]")
	}
	if c.HasExample() {
		add("\n\nExamples:\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		add("\n\nAvailable Commands:")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				add(fmt.Sprintf("\n  %-*s %s", sub.NamePadding(), sub.Name(), sub.Short))
			}
		}
	}
	add("\n", FlagHelp(c, columns))
	if c.HasAvailableSubCommands() {
		add("\nUse \"", c.CommandPath(), " [command] --help\" for more information about a command.\n")
	}
	return text.String()
}

var flagLine = regexp.MustCompile(`^ {2,6}(?:-h, )?--([\w.-]+)`)

// FlagHelp returns the help of a command's flags, below their headings.
func FlagHelp(c *cobra.Command, columns int) string {
	var text strings.Builder
	flags, last := c.LocalFlags(), ""
	for line := range strings.Lines(flags.FlagUsagesWrapped(columns)) {
		if first := flagLine.FindStringSubmatch(line); first != nil {
			title := "Flags"
			if annotation := flags.Lookup(first[1]).Annotations[heading]; annotation != nil {
				title = annotation[0]
			}
			if title != last {
				text.WriteString("\n" + title + ":\n")
			}
			last = title
		}
		text.WriteString(line)
	}
	return text.String()
}

// wrap breaks the lines of paragraphs anew.
func wrap(text string, columns int) string {
	var wrapped strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			wrapped.WriteString("\n\n")
		}
		width := 0
		for _, word := range strings.Fields(paragraph) {
			switch {
			case width > 0 && width+1+textWidth(word) > columns:
				wrapped.WriteString("\n")
				width = 0
			case width > 0:
				wrapped.WriteString(" ")
				width++
			}
			wrapped.WriteString(word)
			width += textWidth(word)
		}
	}
	return wrapped.String()
}

// describeFlags gives the flags that cobra adds to a command, and to all commands below it, descriptions
// in the style of all others.
func describeFlags(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	for name, usage := range map[string]string{
		"help": "Show help.", "version": "Show the version.", "no-descriptions": "Disable completion descriptions.",
	} {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Usage = usage
		}
	}
	for _, c := range cmd.Commands() {
		describeFlags(c)
	}
}
