// Package architecture tests the import rules of ARCHITECTURE.md.
package architecture
