package fact

// An OOMScope tells whose limit of memory a kill of the kernel was about. It is a value of the label
// oom_scope.
type OOMScope string

// The scopes. Empty: it is not known.
const (
	OOMSandbox  OOMScope = "sandbox"  // the sandbox's own cgroup, or a cgroup in it
	OOMAncestor OOMScope = "ancestor" // a cgroup above it, such as a slice or a namespace's
	OOMNode     OOMScope = "node"     // no cgroup's: the node was out of memory
)
