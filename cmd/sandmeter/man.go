package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand(std stdio) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man",
		Short: "Write the man page",
		Long:  "Write the man page of sandmeter, or with --dir those of all commands as files.",
		Example: "  sandmeter man | man -l -\n" +
			"  sandmeter man --dir /usr/local/share/man/man1",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return writeManPages(cmd.Root(), dir, std) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write a file for each command into this existing `directory`")
	return cmd
}

func writeManPages(root *cobra.Command, dir string, std stdio) error {
	root.DisableAutoGenTag = true // it has a date
	header := &doc.GenManHeader{Section: "1", Source: "Sandmeter", Manual: "Sandmeter"}
	if dir == "" {
		return doc.GenMan(root, header, std.out)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is no directory: make it first", dir)
	}
	return doc.GenManTree(root, header, dir)
}
