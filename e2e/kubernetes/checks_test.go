package kubernetes

// checks are the specification, in the order in which they run.
var checks = []check{
	{"the chart installs a server that becomes ready", checkInstall},
	{"a pod is one sandbox with the names of the pod and its containers", checkNames},
	{"usage is that of the pod's cgroup and that which kubelet reports", checkUsage},
	{"the server has the privileges that the chart claims", checkPrivileges},
	{"doctor finds every sandbox served, in the container of the server", checkDoctor},
	{"a pod without the RuntimeClass has no sandbox", checkPlainPod},
	{"a pod in the network of the node has no traffic of its own", checkHostNetwork},
	{"outcomes and totals of a namespace are exact", checkEnds},
	{"an upgrade and its rollback are gaps no longer than a restart", checkUpgrade},
	{"a password, and a registration instead of a program", checkSecured},
	{"a restart of containerd loses no sandbox", checkContainerdRestart},
	{"a restart of kubelet loses no sandbox", checkKubeletRestart},
	{"a drained node has records of all its pods", checkDrain},
	{"a static pod that changes has a new sandbox, and a record of the old one", checkStaticPod},
	{"a killed shim takes its sandbox with it, and has a record", checkKilledShim},
	{"no probe restarted the server", checkProbes},
	{"a killed server finds all sandboxes again", checkKilledServer},
	{"nothing is left in the runtime root", checkLeftovers},
}
