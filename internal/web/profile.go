package web

import (
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"
)

// Lengths of a CPU profile, in seconds.
const (
	defaultProfile = 10
	maxProfile     = 60
)

// profileCPU serves a CPU profile of the requested number of seconds. The profile ends early if the client
// disconnects. Only one runs at a time.
func profileCPU(w http.ResponseWriter, r *http.Request) error {
	seconds := defaultProfile
	if text := r.URL.Query().Get("seconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > maxProfile {
			return refuse(http.StatusBadRequest, "seconds has to be a number from 1 to %d", maxProfile)
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if pprof.StartCPUProfile(w) != nil {
		return refuse(http.StatusConflict, "another CPU profile of this process is in progress; try again later")
	}
	defer pprof.StopCPUProfile()
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
	case <-r.Context().Done():
	}
	return nil
}

// profileHeap serves a profile of the memory in use.
func profileHeap(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	runtime.GC() // the heap profile shows the state at the last garbage collection
	return pprof.Lookup("heap").WriteTo(w, 0)
}
