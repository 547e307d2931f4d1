package charts

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const password = "sesame"

// TestSecured starts the server with the rendered arguments, before the node has a runtime root, and with
// the files that README.md describes for TLS and passwords. It runs the rendered probes, with the
// credentials and without.
func TestSecured(t *testing.T) {
	dir := t.TempDir()
	root, port := filepath.Join(dir, "runsc", "k8s.io"), freePort(t)
	writeSecrets(t, dir)
	c := container(t, daemonSet(t, values{
		"hostNetwork": true, "port": port, "roots": []any{root},
		"web": values{"configSecret": "web", "probeSecret": "client"},
	}))
	in := func(args []string) []string { // dir instead of where the secrets are mounted
		args = expanded(args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "/etc/sandmeter", dir)
		}
		return args
	}
	start(t, fmt.Sprint("127.0.0.2:", port), in(c.Args)...)

	for _, probe := range probes(c) {
		probe = in(probe)
		if out, err := exec.Command(sandmeter, probe[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(probe, " "), err, out)
		}
		without := slices.DeleteFunc(slices.Clone(probe[1:]), func(arg string) bool { return strings.HasPrefix(arg, "--web.client-config.file=") })
		if out, err := exec.Command(sandmeter, without...).CombinedOutput(); err == nil {
			t.Errorf("%s succeeds: %s", strings.Join(without, " "), out)
		}
	}
}

// writeSecrets writes the files of the two secrets to the directories web and client in dir.
func writeSecrets(t *testing.T, dir string) {
	t.Helper()
	certificate, key := selfSigned(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"web/web.yml":       strings.ReplaceAll(fromReadme(t, "web.yml"), "$2y$10$…", string(hash)),
		"web/tls.crt":       certificate,
		"web/tls.key":       key,
		"client/client.yml": fromReadme(t, "client.yml"),
		"client/ca.crt":     certificate,
		"client/password":   password,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
	}
}

// fromReadme returns a file that a command in README.md writes.
func fromReadme(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "cat > "+name+" <<'END'\n")
	content, _, ok2 := strings.Cut(rest, "END\n")
	if !ok || !ok2 {
		t.Fatalf("%s does not write %s", readmeFile, name)
	}
	return content
}

// selfSigned returns a certificate for the name sandmeter, which is its own authority, and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sandmeter"}, DNSNames: []string{"sandmeter"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// deadline is far above what anything here takes.
const deadline = time.Minute

// freePort returns a port that is free on all loopback addresses.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts the program, waits until it serves at the address, and stops it at the end.
func start(t *testing.T, address string, args ...string) {
	t.Helper()
	cmd := exec.Command(sandmeter, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving, done := make(chan struct{}), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), address) {
				close(serving)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v:\n%s", err, log.String())
		}
	})
	select {
	case <-serving:
	case <-done:
		t.Fatalf("the server ended before it served at %s", address)
	case <-time.After(deadline):
		_ = cmd.Process.Kill()
		t.Fatalf("the server does not serve at %s", address)
	}
}
