// Package families turns the facts of snapshots into samples. It is the only place that names families
// about sandboxes, the host and the server, and their labels. Metrics that sandboxes report keep the
// names of their registration and are samples already.
//
// Each family is a row of a table: name, type, labels, help, and a function that adds its samples. To
// add a family, add a row anywhere in one of the tables: server.go, sandbox.go, usage.go, cadvisor.go
// or totals.go. Tables are sorted once, so a source's samples are in the order of its schema's metrics.
// docs/metrics.md is generated from the tables.
//
// Families with cAdvisor's names cost nothing where they are not used. They have cAdvisor's labels only, because rules sum over them and join with them. So two sandboxes could
// have equal series; only the first of them is on the page. Empty labels are on the page too:
// honor_labels would replace absent ones by those of the target.
//
// The only container of a pod has the figures of the sandbox, in cAdvisor's families, and never
// those that are split by what the sandbox reports: a report can be missing, and a counter must not
// change its source. Containers of other pods have theirs, or none.
package families
