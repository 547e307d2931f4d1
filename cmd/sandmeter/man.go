package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// manPages are what cobra makes of the commands. man_test.go writes them: a program that made them itself would hold a renderer of Markdown
// in the memory of every server.
//
//go:embed man/*.1
var manPages embed.FS

func newManCommand(std cli.Stdio) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man",
		Short: "Write the man page",
		Long:  "Write the man page of sandmeter, or with --dir those of all commands as files.",
		Example: "  sandmeter man | man -l -\n" +
			"  sandmeter man --dir /usr/local/share/man/man1",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return writeManPages(dir, std) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write a file for each command into this existing `directory`")
	_ = cmd.MarkFlagDirname("dir") // fails for flags that are not there
	return cmd
}

// writeManPages writes the page of the program itself, or all into a directory.
func writeManPages(dir string, std cli.Stdio) error {
	if dir == "" {
		page, err := manPages.ReadFile("man/sandmeter.1")
		if err != nil {
			return err
		}
		_, err = std.Out.Write(page)
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is no directory: make it first", dir)
	}
	pages, err := manPages.ReadDir("man")
	if err != nil {
		return err
	}
	for _, p := range pages {
		page, err := manPages.ReadFile("man/" + p.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, p.Name()), page, 0o644); err != nil {
			return err
		}
	}
	return nil
}
