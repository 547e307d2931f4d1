// Package families turns the facts of snapshots into samples. It is the only place that names families
// about sandboxes, the host and the server, and their labels. Metrics that sandboxes report keep the
// names of their registration and are samples already.
//
// Each family is a row of a table: name, type, labels, help, and a function that adds its samples. To
// add a family, add a row anywhere in one of the tables: server.go, sandbox.go, usage.go, cadvisor.go
// or totals.go. Tables are sorted once, so a source's samples are in the order of its schema's metrics.
// docs/metrics.md is generated from the tables.
package families
