package metricclient

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// fakeServerEnv makes a process started by the tests run as a fake server.
const fakeServerEnv = "METRICCLIENT_TEST_FAKE_SERVER"

// Modes of the fake server, passed as -mode=MODE after metric-server. By default it works like a
// metric server.
const (
	modeExits       = "exits"        // writes the reason to standard error and exits
	modeSilent      = "silent"       // never listens
	modeIgnoresTERM = "ignores-term" // ignores SIGTERM
	modeOtherRoot   = "other-root"   // serves a root other than the one on the command line
	modeWrapper     = "wrapper"      // starts a server and waits for it, like a shell script without exec
)

// processInfo describes the process of a fake server. The server serves it at selfPath.
type processInfo struct {
	Args  []string
	Dir   string
	Files map[string]string // targets of its open file descriptors
}

const selfPath = "/self"

// runFakeServer is the main function of a process started by the tests.
func runFakeServer() {
	conf, rest, err := config.FromFlags(os.Args[1:])
	if err != nil {
		die(err)
	}
	if len(rest) == 0 || rest[0] != config.MetricServerCommand {
		die("no metric-server in the command line:", os.Args)
	}
	flags := flag.NewFlagSet("fake", flag.ExitOnError)
	mode := flags.String("mode", "", "")
	_ = flags.Parse(rest[1:])
	// No test depends on this. It ends processes left behind by a failed test.
	time.AfterFunc(time.Minute, func() { die("too old") })

	switch *mode {
	case modeExits:
		fmt.Fprint(os.Stderr, strings.Repeat("a line\n", 1000), "\n  cannot \x1b[31mlisten  \n\nthe address is in use\n")
		os.Exit(3)
	case modeSilent:
		fmt.Fprintln(os.Stderr, "starting")
		select {}
	case modeIgnoresTERM:
		signal.Ignore(syscall.SIGTERM)
	case modeOtherRoot:
		conf.RootDir = "/somewhere/else"
	case modeWrapper:
		args := append(conf.ToFlags(), config.MetricServerCommand)
		child, err := os.StartProcess(os.Args[0], append([]string{os.Args[0]}, args...), &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr}})
		if err != nil {
			die(err)
		}
		_, _ = child.Wait()
		return
	}
	serve(conf, *mode)
}

// serve runs a metric server until SIGTERM.
func serve(conf *config.Config, mode string) {
	network := "tcp"
	if strings.HasPrefix(conf.MetricServer, "/") {
		network = "unix"
	}
	listener, err := net.Listen(network, conf.MetricServer)
	if err != nil {
		die(err)
	}
	term := make(chan os.Signal, 1)
	if mode != modeIgnoresTERM {
		signal.Notify(term, syscall.SIGTERM)
	}
	go func() { die(http.Serve(listener, fakeHandler(conf.RootDir, os.Getpid()))) }()
	<-term
	_ = os.Remove(conf.MetricServer)
}

// fakeHandler responds like the metric server of a root.
func fakeHandler(root string, pid int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(healthPath, func(w http.ResponseWriter, r *http.Request) {
		if got := r.PostFormValue("root"); got != root {
			http.Error(w, otherRoot+root+"\n", http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, healthy)
	})
	mux.HandleFunc(pidPath, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, pid) })
	mux.HandleFunc(metricsPath, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `runsc_fs_opens{sandbox="sb"} 42 1795338783582`)
	})
	mux.HandleFunc(selfPath, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(ownInfo()) })
	return mux
}

func ownInfo() processInfo {
	p := processInfo{Args: os.Args[1:], Files: map[string]string{}}
	p.Dir, _ = os.Getwd()
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			p.Files[filepath.Base(link)] = target
		}
	}
	return p
}

// die exits the process with an error.
func die(reason ...any) {
	fmt.Fprintln(os.Stderr, reason...)
	os.Exit(1)
}
