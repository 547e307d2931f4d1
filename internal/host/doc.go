// Package host has information about sandboxes from the host's kernel, which is trusted, unlike the
// sandboxes' replies. The package returns immutable records and never changes the data of its
// callers.
//
// A pod's cgroup outlives its sandbox, so the meter keeps how far the counters of each were
// counted, and by which sandbox. The next one begins there. Nothing on the host says which part of
// a counter is from before a sandbox.
//
// Counters of usage add up growth, with the identity of their source. A new cgroup begins at 0 and
// goes on from the total. A fall counts as no growth. So no counter falls while the server runs.
//
// Files of cgroups are held open up to three eighths of the limit on descriptors, pidfds up to a
// half; the rest is for sockets. A held file costs a quarter of an opened one, and does not keep
// the cgroup. /proc/PID/net/dev is opened each time, because holding it would keep the network
// namespace. A reading counts only if the pidfd says afterwards that the process is alive, so that
// no figure is from another process with its PID.
package host
