package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// Names of totals, and of the families about records.
const (
	totalOpens     = "sandmeter_sandboxes_fs_opens_total"
	totalCPU       = "sandmeter_sandboxes_cpu_seconds_total"
	totalStarted   = "sandmeter_sandboxes_started_total"
	totalEnded     = "sandmeter_sandboxes_ended_total"
	recordsWritten = "sandmeter_final_records_written_total"
	recordsDropped = "sandmeter_final_records_dropped_total"
)

// atATime is how many sandboxes live at the same time.
const atATime = 5

// A truth runs sandboxes with short lives, and knows what each of them did. Several servers observe
// them.
type truth struct {
	*world
	prompt     bool   // sandboxes are deleted as soon as they have ended, and not after their records
	logs       string // pattern of the final metrics logs
	observers  []*observer
	prometheus peer
	lives      []shortLife  // in the order of their ends
	ended      atomic.Int64 // how many sandboxes have been deleted
}

// An observer is a server with final records, which may be restarted once.
type observer struct {
	*endpoint
	records string // path
	flags   []string
	// generation is 1 while the first process serves for certain, 2 while the second one does, and 0
	// between.
	generation atomic.Int64
	signal     unix.Signal // that ended the first process
	processes  []*server   // in their order
	settled    []byte      // the records before the last scrape of the first process
}

// A shortLife is the life of one sandbox, as the test knows it.
type shortLife struct {
	id    string
	opens float64 // as its final metrics log has it
	known int     // of these, by its workload
	cpu   float64 // of its cgroup after its end, in seconds
	spans map[*observer]span
}

// A span has the generations of a server before a sandbox was created, when the sandbox was last
// known to be alive, and after its end.
type span struct{ began, alive, ended int64 }

// observed reports whether the same process of the server ran before and after the end.
func (s span) observed() bool { return s.alive == s.ended && s.ended > 0 }

// newTruth returns a truth without servers.
func newTruth(w *world, prompt bool) *truth {
	return &truth{world: w, prompt: prompt, logs: filepath.Join(w.t.TempDir(), "final", "%ID%.log")}
}

// observe starts a server that observes the sandboxes.
func (r *truth) observe(name string, flags ...string) *observer {
	r.t.Helper()
	o := &observer{endpoint: r.endpoint(name, nil), records: filepath.Join(r.t.TempDir(), "records")}
	o.flags = append(flags, "--totals-metric=fs_opens", "--final-records="+o.records, "--linger=1m")
	r.observers = append(r.observers, o)
	o.begin(1)
	return o
}

// begin starts the server, and waits until it is ready: sandboxes that have ended before it has listed
// the runtime root are none of its business.
func (o *observer) begin(generation int64) {
	o.t.Helper()
	o.server = o.startServer(o.defaultArgs(o.flags...))
	o.processes = append(o.processes, o.server)
	o.until(func() error {
		_, err := getBody("http://" + o.addr + "/-/ready")
		return err
	})
	o.generation.Store(generation)
}

// endpoints returns those of all servers.
func (r *truth) endpoints() (list []*endpoint) {
	for _, o := range r.observers {
		list = append(list, o.endpoint)
	}
	return list
}

// each calls a function for each server.
func (r *truth) each(do func(*observer)) {
	for _, o := range r.observers {
		do(o)
	}
}

// totals returns the totals of the server's page, by family.
func (o *observer) totals() map[string]float64 {
	o.t.Helper()
	data, err := o.client.GetMetrics(o.ctx(), nil)
	o.must(err)
	page, err := readScraped([]byte(data), "text/plain; version=0.0.4")
	o.must(err)
	totals := map[string]float64{}
	for series, value := range page.values {
		name, _, _ := strings.Cut(series, "{")
		totals[name] += value
	}
	return totals
}

// samples returns what Prometheus has of the total of opens of a server.
func (r *truth) samples(o *observer) []model.SamplePair {
	r.t.Helper()
	i := slices.IndexFunc(r.prometheus.jobs, func(j job) bool { return j.endpoint == o.endpoint })
	var samples []model.SamplePair
	r.until(func() (err error) {
		samples, err = r.prometheus.samples(r.prometheus.jobs[i].of(totalOpens, ""))
		return err
	})
	return samples
}

// generations returns the generations of all servers now.
func (r *truth) generations() map[*observer]int64 {
	list := map[*observer]int64{}
	r.each(func(o *observer) { list[o] = o.generation.Load() })
	return list
}

// start runs n sandboxes, some at a time, and sends their lives in the order of their ends. The test
// does not end before them.
func (r *truth) start(n int) <-chan []shortLife {
	var mu sync.Mutex
	var workers sync.WaitGroup
	var lives []shortLife
	next, all := make(chan int, n), make(chan []shortLife, 1)
	for i := range n {
		next <- i
	}
	close(next)
	for range atATime {
		workers.Go(func() {
			for i := range next {
				life, err := r.live(i)
				if err != nil {
					r.t.Errorf("sandbox %d: %v", i, err)
				}
				mu.Lock()
				lives = append(lives, life)
				mu.Unlock()
				r.ended.Add(1)
			}
		})
	}
	r.t.Cleanup(workers.Wait)
	go func() {
		workers.Wait()
		all <- lives
	}()
	return all
}

// live runs one sandbox for 0.2 to 3 seconds.
func (r *truth) live(i int) (life shortLife, err error) {
	life.id, life.known = usageID(fmt.Sprintf("truth-%04d", i)), 100+i*37%1000
	if i%10 == 0 {
		life.known = 0 // these tell what a sandbox opens without work
	}
	lasts := 200*time.Millisecond + time.Duration(i*577%2800)*time.Millisecond
	c := r.container(life.id, "live", strconv.Itoa(life.known), lasts.String())
	c.Cgroup, c.Flags = true, []string{"--final-metrics-log=" + r.logs}
	began := r.generations()
	if err := r.node.Run(r.t.Context(), c); err != nil {
		return life, err
	}
	alive, ended, err := r.untilEnd(c, began)
	if err != nil {
		return life, err
	}
	life.spans = map[*observer]span{}
	r.each(func(o *observer) { life.spans[o] = span{began[o], alive[o], ended[o]} })
	life.cpu, err = cpuIn(life.id)
	if !r.prompt {
		err = errors.Join(err, r.untilRecorded(life))
	}
	err = errors.Join(err, r.node.Delete(r.t.Context(), life.id))
	var logErr error
	life.opens, logErr = opensIn(strings.ReplaceAll(r.logs, "%ID%", life.id))
	return life, errors.Join(err, logErr)
}

// untilEnd waits until the process of a sandbox has ended, and reaps it. It returns the generations
// of the servers when the process was last known to live, and after its end.
func (r *truth) untilEnd(c runsc.Container, began map[*observer]int64) (alive, ended map[*observer]int64, err error) {
	pid, err := r.node.Pid(c.ID)
	if err != nil {
		return nil, nil, err
	}
	// Orphans are children of this program, so the PID stays the sandbox's until it is reaped.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(fd)
	for alive = began; ; {
		before := r.generations()
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		if n > 0 {
			break
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, nil, err
		}
		alive = before
	}
	_, err = unix.Wait4(pid, nil, 0, nil)
	return alive, r.generations(), err
}

// untilRecorded waits until each server that observed the end of a sandbox has written its record.
func (r *truth) untilRecorded(life shortLife) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), ample)
	defer cancel()
	for _, o := range r.observers {
		for o.owes(life) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: no record of %s", o.transport, life.id)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// owes reports whether the process that now serves has observed the end of a sandbox, and has not
// written its record.
func (o *observer) owes(life shortLife) bool {
	span := life.spans[o]
	if !span.observed() || span.ended != o.generation.Load() {
		return false
	}
	file, err := os.ReadFile(o.records)
	return err != nil || !hasRecord(file, life.id)
}

// finish waits until a server has written all records, and Prometheus has scraped it after that.
func (r *truth) finish(o *observer) {
	r.t.Helper()
	for _, life := range r.lives {
		r.must(r.untilRecorded(life))
	}
	r.until(func() error {
		if running := o.totals()["sandmeter_num_sandboxes_running"]; running > 0 {
			return fmt.Errorf("%v sandboxes run", running)
		}
		return nil
	})
	r.scraped(o)
}

// cpuIn is cpuOf for goroutines.
func cpuIn(id string) (seconds float64, err error) {
	if dir := hierarchyOf(id, "cpuacct.usage"); dir != "" {
		ns, err := numberIn(filepath.Join(dir, "cpuacct.usage"), "")
		return ns / 1e9, err
	}
	us, err := numberIn(filepath.Join(hierarchyOf(id, "cpu.stat"), "cpu.stat"), "usage_usec ")
	return us / 1e6, err
}

// opensIn returns the number of opens in a final metrics log.
func opensIn(path string) (float64, error) { return numberIn(path, "runsc_fs_opens ") }

// restart ends a server when a number of sandboxes have ended and Prometheus has scraped after that,
// and starts it again.
func (r *truth) restart(o *observer, after int, signal unix.Signal, code int) {
	r.t.Helper()
	for r.ended.Load() < int64(after) {
		time.Sleep(10 * time.Millisecond) // all end, so this does too
	}
	file, err := os.ReadFile(o.records)
	r.must(err)
	o.settled = file
	r.scraped(o)
	o.generation.Store(0)
	o.signal = signal
	o.server.signal(signal)
	o.server.wantEnd(ample, code)
	o.begin(2)
}

// warnings returns the lines of the server's log that are no information.
func (o *observer) warnings() (lines string) {
	for _, process := range o.processes {
		for line := range strings.Lines(process.err.String()) {
			if !strings.Contains(line, "level=INFO") {
				lines += line
			}
		}
	}
	return lines
}
