package collect

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestRegister has what registering and unregistering return for each kind of sandbox.
func TestRegister(t *testing.T) {
	w := newNode(t, nil)
	w.start(simulate.Spec{ID: "fine"})
	w.start(simulate.Spec{ID: "starting", NoSocket: true})
	w.start(simulate.Spec{ID: "liar"}).SetBehavior(simulate.Say("{}garbage"))
	testkit.Retry(t, func() error {
		if _, err := w.collector.Register(t.Context(), w.root, "liar"); !isRefused(err) {
			return fmt.Errorf("a sandbox that breaks a rule: %w", err)
		}
		return nil
	})
	if r, err := w.collector.Unregister(t.Context(), w.root, "liar"); err != nil || r.Sampled {
		t.Errorf("unregistering a sandbox that breaks a rule: %+v, %v", r, err)
	}
	if _, err := w.collector.Register(t.Context(), w.root, "liar"); err == nil {
		t.Error("a sandbox that is unregistered can be registered")
	}
	past, cancel := context.WithCancel(t.Context())
	cancel()
	for _, do := range []func(context.Context, string, string) (snapshot.Registered, error){w.collector.Register, w.collector.Unregister} {
		// A sample has a short time, which a busy machine may need several of.
		testkit.Retry(t, func() error {
			r, err := do(t.Context(), w.root, "fine")
			if err == nil && (!r.Sampled || r.Sandbox.Labels.Sandbox != "fine" || r.Sandbox.Root != w.root) {
				err = fmt.Errorf("got %+v", r)
			}
			return err
		})
		if r, err := do(t.Context(), w.root, "starting"); err != nil || r.Sampled {
			t.Errorf("a sandbox that does not listen yet: %+v, %v", r, err)
		}
		if _, err := do(past, w.root, "fin"); !errors.Is(err, snapshot.ErrNoSandbox) {
			t.Errorf("the prefix of an ID: %v", err)
		}
		if _, err := do(t.Context(), filepath.Join(w.root, "x"), "fine"); !errors.Is(err, snapshot.ErrNoRoot) {
			t.Errorf("a root that is not served: %v", err)
		}
	}
}

func isRefused(err error) bool {
	f, ok := errors.AsType[*failure.Failure](err)
	return ok && f.Reason == failure.ReplyRefused
}
