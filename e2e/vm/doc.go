// Package vm tests the server on the nodes that people have: Debian 11, 12 and 13 with systemd, cgroup
// v2, Docker and kernels 5.10, 6.1 and 6.12, in virtual machines without hardware acceleration. `make
// test-vm` builds their disks and runs it.
//
// Everything is slow in such a machine, so no check depends on time.
package vm
