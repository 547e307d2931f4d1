// Package roots finds the runtime roots that a configuration stands for: directories, and globs that match
// directories.
package roots
