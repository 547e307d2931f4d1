package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A trial measures the cost of many, slow or hostile clients and sandboxes, and compares it with a
// target.
type trial struct {
	name  string
	want  string // the target
	fleet fleet
	limit int // of the server's file descriptors; 0: unchanged
	run   func(ctx context.Context, s *server) (measured string, err error)
}

const filterParam = "?runsc-sandbox-metrics-filter="

// trials returns all trials, in the order of the table.
func trials() []trial {
	thousand := fleet{sandboxes: 1000, points: 60, scrapers: 1}
	return []trial{
		{"16 scrapers with 16 different filters at once", "4 × the CPU and wall time of one scrape", thousand, 0, manyFilters},
		{"1,000 targets of one sandbox each, 8 scrapes at once; then 10 shards, one after the other", "40 × and 4 × the CPU of one scrape", thousand, 0, manyTargets},
		{"100 clients sending new filters all the time, next to a scraper (10 s)", "complete pages, under 3 s", thousand, 0, newFilters},
		{"12 connections sending costly filters of 4 KiB for 8 s, 50 sandboxes", "64 MB more, a scrape under 1 s", fleet{sandboxes: 50, points: 60}, 0, costlyFilters},
		{"300 sandboxes that report every series, next to 100 honest ones", "honest ones complete, page under 40 MB, memory under 160 MB",
			fleet{sandboxes: 400, points: 60, flags: []string{"--full", "300"}}, 0, fullSandboxes},
		{"a sandbox that always replies after 1.8 s, seven filtered scrapes at once", "two collections", fleet{sandboxes: 100, points: 60, flags: []string{"--late", "1.8s"}}, 0, lateSandbox},
		{"a client with a timeout of 0.6 s in a loop, next to a scraper (10 s); one sandbox replies after 1.8 s", "the scraper's pages are complete",
			fleet{sandboxes: 100, points: 60, flags: []string{"--late", "1.8s"}}, 0, shortTimeouts},
		{"6 clients that never read, 2,000 sandboxes", "at most 4 pages are held; slow clients are cut off", fleet{sandboxes: 2000, points: 60}, 0, neverReading},
		{"1,100 idle connections, 1,024 file descriptors", "a scrape succeeds", fleet{sandboxes: 100, points: 60}, 1024, idleConnections},
	}
}

const trialHeader = `
| what | target | measured |
| --- | --- | --- |`

// try runs a trial and returns its row of the table.
func (b bench) try(ctx context.Context, t trial) (string, error) {
	sim, err := startFleet(ctx, b.lab, t.fleet)
	if err != nil {
		return "", err
	}
	defer sim.stop()
	s, err := startServer(ctx, b.program, sim.root, t.limit, onlySent, noUsage)
	if err != nil {
		return "", err
	}
	defer s.stop()
	if _, _, err := s.scrape(fleet{scrapers: 1}); err != nil { // leaves out the work that is done once
		return "", err
	}
	measured, err := t.run(ctx, s)
	return fmt.Sprintf("| %s | %s | %s |", t.name, t.want, measured), err
}

// sandboxes counts the sandboxes on a page that have metrics of their own.
func sandboxes(page []byte) int { return bytes.Count(page, []byte("\nrunsc_fs_opens_total{")) }

func manyFilters(_ context.Context, s *server) (string, error) {
	const rounds = 10
	var one, all []cost
	for range rounds {
		c, _, err := s.scrape(fleet{scrapers: 1})
		if err != nil {
			return "", err
		}
		one = append(one, c)
		before, err := s.cpu()
		if err != nil {
			return "", err
		}
		began := time.Now()
		errs := make([]error, 16)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() { _, errs[i] = s.get("http://x/metrics"+filterParam+fmt.Sprintf("^[a-%c]", 'f'+i), nil) }) // from a few families to nearly all
		}
		wait.Wait()
		wall := time.Since(began)
		after, err := s.cpu()
		if err := errors.Join(append(errs, err)...); err != nil {
			return "", err
		}
		all = append(all, cost{after - before, wall})
	}
	a, o := median(all), median(one)
	return fmt.Sprintf("%.1f × the CPU, %.1f × the wall time (%.0f ms, %.0f ms for one)", ms(a.cpu)/ms(o.cpu), ms(a.wall)/ms(o.wall), ms(a.wall), ms(o.wall)), nil
}

// besides runs n clients, each in a loop, during rounds scrapes with a timeout of 10 s. It returns
// the longest time of these scrapes, and the smallest number of sandboxes on their pages.
func (s *server) besides(n int, loop func(client int), rounds int) (longest time.Duration, fewest int, err error) {
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					loop(i)
				}
			}
		})
	}
	defer clients.Wait()
	defer close(stop)
	time.Sleep(200 * time.Millisecond)
	fewest = 1 << 30
	for range rounds {
		began := time.Now()
		page, err := s.page("/metrics", "10")
		if err != nil {
			return 0, 0, err
		}
		longest, fewest = max(longest, time.Since(began)), min(fewest, sandboxes(page))
	}
	return longest, fewest, nil
}

func newFilters(_ context.Context, s *server) (string, error) {
	longest, fewest, err := s.besides(100, func(int) {
		_, _ = s.page("/metrics"+filterParam+fmt.Sprintf("fs_.*|x%d", rand.Uint64()), "60") // being refused is not an error here
	}, 10)
	return fmt.Sprintf("at least %d of 1,000 on each page, at most %.2f s", fewest, longest.Seconds()), err
}

func costlyFilters(_ context.Context, s *server) (string, error) {
	before, err := s.memory()
	if err != nil {
		return "", err
	}
	texts := []string{`(?i)[\pL\pN\pS]`, `[^\pL]`, `(?i)(\pL|[a-z]){1,9}`, `(.*a.*b.*c.*){9}`, `((a*)*)*b`, `(?i)[^\PL\pN]+`}
	send := func(client int) {
		base := texts[client%len(texts)]
		text := strings.Repeat(base, 4+rand.IntN((4<<10-30)/len(base)-4)) + strconv.FormatUint(rand.Uint64(), 36)
		_, _ = s.page("/metrics"+filterParam+url.QueryEscape(text), "60") // most are refused
	}
	var longest time.Duration
	most, fewest := before, 1<<30
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		l, f, err := s.besides(12, send, 5)
		if err != nil {
			return "", err
		}
		now, err := s.memory()
		if err != nil {
			return "", err
		}
		longest, fewest, most = max(longest, l), min(fewest, f), max(most, now)
	}
	return fmt.Sprintf("%+d MB, at most %.2f s, at least %d of 50", (most-before)>>20, longest.Seconds(), fewest), nil
}

func fullSandboxes(_ context.Context, s *server) (string, error) {
	var page []byte
	most := 0
	for range 10 {
		var err error
		if page, err = s.page("/metrics", "10"); err != nil {
			return "", err
		}
		memory, err := s.memory()
		if err != nil {
			return "", err
		}
		most = max(most, memory)
	}
	honest := 0
	for line := range bytes.Lines(page) {
		if at := bytes.Index(line, []byte(`sandbox="sim-`)); at > 0 && bytes.HasPrefix(line, []byte("runsc_fs_opens_total{")) {
			if n, _ := strconv.Atoi(string(line[at+len(`sandbox="sim-`):][:4])); n >= 300 {
				honest++
			}
		}
	}
	var over []string
	for line := range bytes.Lines(page) {
		if left, found := bytes.CutPrefix(line, []byte("sandmeter_over_budget{budget=")); found {
			fields := strings.Fields(string(left))
			over = append(over, fields[1]+" for "+strings.Trim(fields[0], "}"))
		}
	}
	return fmt.Sprintf("%d honest ones complete, page %.0f MB, memory %d MB, over budget: %s", honest, float64(len(page))/1e6, most>>20, strings.Join(over, ", ")), nil
}

func lateSandbox(_ context.Context, s *server) (string, error) {
	var took [7]time.Duration
	errs := make([]error, len(took))
	began := time.Now()
	var wait sync.WaitGroup
	for i := range took {
		wait.Go(func() {
			_, errs[i] = s.page("/metrics"+filterParam+fmt.Sprint("fs_|", i), "10")
			took[i] = time.Since(began)
		})
	}
	wait.Wait()
	longest := took[0]
	for _, t := range took {
		longest = max(longest, t)
	}
	return fmt.Sprintf("the last after %.1f s", longest.Seconds()), errors.Join(errs...)
}

func shortTimeouts(_ context.Context, s *server) (string, error) {
	_, fewest, err := s.besides(1, func(int) { _, _ = s.page("/metrics", "0.6") }, 5)
	return fmt.Sprintf("at least %d of 100 on each page", fewest), err
}

func neverReading(ctx context.Context, s *server) (string, error) {
	before, err := s.memory()
	if err != nil {
		return "", err
	}
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for range 6 { // one after the other, so that each has its own page
		c, err := s.dial(ctx)
		if err != nil {
			return "", err
		}
		idle = append(idle, c)
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return "", err
		}
		if _, err := s.page("/metrics", "10"); err != nil {
			return "", err
		}
	}
	most, err := s.memory()
	if err != nil {
		return "", err
	}
	time.Sleep(7 * time.Second) // the server gives them 5 s, and checks once per second
	after, err := s.memory()
	if err != nil {
		return "", err
	}
	cut := 0
	for _, c := range idle {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err != nil {
			cut++
		}
	}
	return fmt.Sprintf("%+d MB, %+d MB and %d of 6 cut off after 7 s", (most-before)>>20, (after-before)>>20, cut), nil
}

func idleConnections(ctx context.Context, s *server) (string, error) {
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for range 1100 {
		c, err := s.dial(ctx)
		if err != nil {
			return "", err
		}
		idle = append(idle, c)
	}
	began := time.Now()
	page, err := s.page("/metrics", "10")
	return fmt.Sprintf("after %.2f s, %d of 100 on the page", time.Since(began).Seconds(), sandboxes(page)), err
}

// page gets a page with the timeout, in seconds, that a scraper announces.
func (s *server) page(path, timeout string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, "http://x"+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(page))
	}
	return page, err
}

func (s *server) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", s.socket)
}

// readFiles returns the time that it takes to read all state files of a directory: the floor of the
// first scrape.
func readFiles(dir string) (time.Duration, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 1<<20)
	began := time.Now()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".state") {
			continue
		}
		f, err := os.Open(dir + "/" + e.Name())
		if err != nil {
			return 0, err
		}
		for err == nil {
			_, err = f.Read(buf)
		}
		f.Close()
		if err != io.EOF {
			return 0, err
		}
	}
	return time.Since(began), nil
}
