package state

import "testing"

// TestCgroup: the paths are those that the cgroup drivers of runtimes make.
func TestCgroup(t *testing.T) {
	check := func(cgroupsPath, want, wantPod string) {
		t.Helper()
		s := Spec{CgroupsPath: cgroupsPath, PodUID: "6b0a7f0e-1c6f-4f0e-9f3c-0d6c2a2f4e11"}
		if got, pod := s.Cgroup(), s.PodCgroup(); got != want || pod != wantPod {
			t.Errorf("%q: %q of pod %q, want %q of %q", cgroupsPath, got, pod, want, wantPod)
		}
	}
	const uid, underscores = "6b0a7f0e-1c6f-4f0e-9f3c-0d6c2a2f4e11", "6b0a7f0e_1c6f_4f0e_9f3c_0d6c2a2f4e11"
	check("", "", "")
	check("/a", "/a", "")
	check("a/b", "/a/b", "")
	check("/docker/a", "/docker/a", "")
	check("/../a/", "/a", "")
	check("/kubepods/besteffort/pod"+uid+"/a", "/kubepods/besteffort/pod"+uid+"/a", "/kubepods/besteffort/pod"+uid)

	check("system.slice:docker:a", "/system.slice/docker-a.scope", "")
	check(":docker:a", "/system.slice/docker-a.scope", "")
	check("-.slice:docker:a", "/docker-a.scope", "")
	check("user.slice::a", "/user.slice/a.scope", "")
	check("user.slice:x:a.slice", "/user.slice/a.slice", "")
	check("kubepods-burstable-pod"+underscores+".slice:cri-containerd:a",
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"+underscores+".slice/cri-containerd-a.scope",
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"+underscores+".slice")

	none := Spec{CgroupsPath: "/kubepods/pod/a"}
	if pod := none.PodCgroup(); pod != "" {
		t.Errorf("without a UID: %q", pod)
	}
}
