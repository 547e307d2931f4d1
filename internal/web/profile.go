package web

import (
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

// Lengths of a CPU profile, in seconds.
const (
	defaultProfile = 10
	maxProfile     = 60
)

// profiler serves profiles of the process. Only one CPU profile runs at a time.
type profiler struct{ busy sync.Mutex }

// cpu serves a CPU profile of the requested number of seconds. The profile ends early if the client
// disconnects.
func (p *profiler) cpu(w http.ResponseWriter, r *http.Request) error {
	seconds := defaultProfile
	if text := r.URL.Query().Get("seconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > maxProfile {
			return refuse(http.StatusBadRequest, "seconds has to be a number from 1 to %d", maxProfile)
		}
	}
	if !p.busy.TryLock() {
		return refuse(http.StatusConflict, "another CPU profile is in progress; try again later")
	}
	defer p.busy.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := pprof.StartCPUProfile(w); err != nil {
		return refuse(http.StatusConflict, "the program that this server is part of takes a CPU profile, try again when it is done")
	}
	defer pprof.StopCPUProfile()
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
	case <-r.Context().Done():
	}
	return nil
}

// heap serves a profile of the memory in use.
func (p *profiler) heap(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	runtime.GC() // the heap profile shows the state at the last garbage collection
	return pprof.Lookup("heap").WriteTo(w, 0)
}
