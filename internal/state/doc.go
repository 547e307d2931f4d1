// Package state is the first stage, discovery: what the runtime root says about sandboxes at this moment.
//
// The root directory is a value; nothing here reads an absolute path of its own. The
// root is only read, and its lock files are never taken: runsc waits for them. State files are written by runsc on the host and
// are trusted for that, but annotations in them are chosen by users, and any file may be half written at the moment it is read.
package state
