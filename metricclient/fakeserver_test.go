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

// fakeServerEnv is set in the processes that the tests start: it makes them play a server.
const fakeServerEnv = "METRICCLIENT_TEST_FAKE_SERVER"

// The parts that a fake server plays, given as -play=PART after metric-server. Without one it is a good server.
const (
	playDies      = "dies"       // ends at start, with its reason on standard error
	playMute      = "mute"       // never listens
	playStubborn  = "stubborn"   // ignores SIGTERM
	playOtherRoot = "other-root" // serves a root that nobody asked for
	playOtherPID  = "other-pid"  // answers from another process than the one that was started
	playWrapper   = "wrapper"    // starts a good server and waits for it, like a shell script without exec
)

// selfPortrait is what a fake server tells about itself at selfPath.
type selfPortrait struct {
	Args  []string
	Dir   string
	Files map[string]string // what its open descriptors are
}

const selfPath = "/self"

// playServer is a process that the tests started.
func playServer() {
	conf, rest, err := config.FromFlags(os.Args[1:])
	if err != nil {
		die(err)
	}
	if len(rest) == 0 || rest[0] != config.MetricServerCommand {
		die("no metric-server in the command line:", os.Args)
	}
	flags := flag.NewFlagSet("fake", flag.ExitOnError)
	part := flags.String("play", "", "")
	_ = flags.Parse(rest[1:])
	// No test depends on this: it only ends processes that a test in trouble leaves behind.
	time.AfterFunc(time.Minute, func() { die("too old") })

	switch *part {
	case playDies:
		fmt.Fprint(os.Stderr, strings.Repeat("once upon a time\n", 1000), "\n  cannot \x1b[31mlisten  \n\nthe address is in use\n")
		os.Exit(3)
	case playMute:
		fmt.Fprintln(os.Stderr, "thinking")
		select {}
	case playStubborn:
		signal.Ignore(syscall.SIGTERM)
	case playOtherRoot:
		conf.RootDir = "/somewhere/else"
	case playWrapper:
		args := append(conf.ToFlags(), config.MetricServerCommand)
		child, err := os.StartProcess(os.Args[0], append([]string{os.Args[0]}, args...), &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr}})
		if err != nil {
			die(err)
		}
		_, _ = child.Wait()
		return
	}
	serve(conf, *part)
}

// serve is a metric server that serves until SIGTERM, with one line in its log.
func serve(conf *config.Config, part string) {
	network := "tcp"
	if strings.HasPrefix(conf.MetricServer, "/") {
		network = "unix"
	}
	listener, err := net.Listen(network, conf.MetricServer)
	if err != nil {
		die(err)
	}
	if strings.HasSuffix(conf.DebugLog, "/") {
		if err := os.WriteFile(filepath.Join(conf.DebugLog, "metric-server.log"), []byte("hello\n"), 0o600); err != nil {
			die(err)
		}
	}
	pid := os.Getpid()
	if part == playOtherPID {
		pid++
	}
	term := make(chan os.Signal, 1)
	if part != playStubborn {
		signal.Notify(term, syscall.SIGTERM)
	}
	go func() { die(http.Serve(listener, fakeHandler(conf.RootDir, pid))) }()
	<-term
	_ = os.Remove(conf.MetricServer)
}

// fakeHandler answers like the metric server of a root.
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
	mux.HandleFunc(selfPath, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(portrait()) })
	return mux
}

func portrait() selfPortrait {
	p := selfPortrait{Args: os.Args[1:], Files: map[string]string{}}
	p.Dir, _ = os.Getwd()
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			p.Files[filepath.Base(link)] = target
		}
	}
	return p
}

// die ends a fake server in trouble.
func die(reason ...any) {
	fmt.Fprintln(os.Stderr, reason...)
	os.Exit(1)
}
