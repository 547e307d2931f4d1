// Package state is the first stage, discovery: it reads the sandboxes of a runtime root from their
// state files. The package only reads the root, and never takes its lock files, since runsc waits
// for them. State files are trusted because runsc writes them on the host. But users choose the
// annotations in them, and any file may be incomplete at the moment when it is read.
package state
