// Package simulate simulates gVisor sandboxes: honest ones by the thousand in one process. The package
// liars below it has every kind that is not honest.
//
// A [Sandbox] is what a metric server sees of a real one: state files in a runtime root, in the bytes
// and with the habits of runsc, and a control socket that replies in the bytes of runsc. [Start] makes
// one from a [Spec] whose zero value is a plain running sandbox; [StartFleet] makes many, cheaply; a
// [Behavior] changes what one replies. With Spec.OwnProcess each has a process of its own.
//
// The package uses nothing of the server: it has its own encoding of everything, so that a mistake in
// the one is not repeated in the other. It needs no testing.TB either, so that programs can use it.
//
// One habit of runsc is easily missed: a registration lists its metrics in the order of a Go map, so no
// two sandboxes register the same bytes, though they register the same metrics. A [Fleet] does likewise
// unless told otherwise; a single sandbox does when its Spec gives an Order.
package simulate
