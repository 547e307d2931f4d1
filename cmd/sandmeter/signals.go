package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// A stopSignal is the cause of a context that a signal canceled.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return "signal: " + s.String() }

// signalAttr returns an attribute for the log with the signal that canceled a context, or nothing.
func signalAttr(ctx context.Context) []any {
	if s, ok := errors.AsType[stopSignal](context.Cause(ctx)); ok {
		return []any{"signal", s.String()}
	}
	return nil
}

// stopOnSignals returns a context that the first of some signals cancels, so that the command ends
// cleanly. The second signal ends the process at once, even if the shutdown hangs, with the exit
// code that shells report for a process killed by that signal.
func stopOnSignals(parent context.Context, signals ...os.Signal) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, onSignals(func(s os.Signal) {
		if ctx.Err() != nil {
			os.Exit(128 + int(s.(syscall.Signal)))
		}
		cancel(stopSignal{s})
	}, signals...)
}

// stopOnHangup returns a context that SIGHUP cancels, as when the terminal of the server is closed.
// A server that was started with nohup ignores it.
func stopOnHangup(parent context.Context) (ctx context.Context, stop func()) {
	if signal.Ignored(syscall.SIGHUP) {
		return parent, func() {}
	}
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, onSignals(func(s os.Signal) { cancel(stopSignal{s}) }, syscall.SIGHUP)
}

// ignoreHangup logs each SIGHUP and ignores it. Service managers send it to make a server reload
// its configuration, and there is none.
func ignoreHangup(logger *slog.Logger) (stop func()) {
	return onSignals(func(s os.Signal) {
		logger.Info("Signal ignored: no configuration to reload", "signal", s.String())
	}, syscall.SIGHUP)
}

// onSignals calls handle for each signal that arrives, one at a time, until stop is called. stop
// waits for the last call.
func onSignals(handle func(os.Signal), signals ...os.Signal) (stop func()) {
	arrived := make(chan os.Signal, 2)
	stopped := make(chan struct{})
	var running sync.WaitGroup
	signal.Notify(arrived, signals...)
	running.Go(func() {
		for {
			select {
			case s := <-arrived:
				handle(s)
			case <-stopped:
				return
			}
		}
	})
	return func() {
		signal.Stop(arrived)
		close(stopped)
		running.Wait()
	}
}
