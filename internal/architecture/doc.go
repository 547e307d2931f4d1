// Package architecture holds, as a test, the rules of who may import whom.
package architecture
