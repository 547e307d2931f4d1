// Package e2e tests the sandmeter program and its client against real sandboxes of a real runsc, and against simulated ones where there have to
// be many, or hostile ones.
//
// It is a module of its own, so that what only tests need stays out of the requirements of those who use Sandmeter.
package e2e
