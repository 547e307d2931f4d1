// Package fact has the typed values that the host's files give about a sandbox: quantities with a unit,
// each of them known or absent with a reason. The host measures them, collect puts them into
// snapshots, and everything that shows or counts usage reads them there. The package has no I/O and no
// clock, and knows no names of metrics.
package fact
