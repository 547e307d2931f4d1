package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// manPages has the man pages that cobra generates from the commands. A test generates them, because
// a renderer of Markdown in the program would cost memory in every server.
//
//go:embed man/*.1
var manPages embed.FS

func newManCommand(std cli.Stdio) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man",
		Short: "Write the man pages",
		Long:  "Write the man page of sandmeter to standard output, or with --dir the man pages of all commands to files.",
		Example: "  sandmeter man | man -l -\n" +
			"  sandmeter man --dir /usr/local/share/man/man1",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return writeManPages(dir, std) },
	}
	cli.Register(cmd, config.Setting{Name: "dir", Placeholder: "directory", Value: &dir, Help: "Write one file per command to this existing directory."})
	return cmd
}

// writeManPages writes the page of the program to standard output, or all pages to a directory.
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
		return fmt.Errorf("%s is not a directory: create it first", dir)
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
