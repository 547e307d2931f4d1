package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A password, and its hash with bcrypt at the lowest cost, for configuration files of servers.
const (
	Password     = "secret"
	PasswordHash = "$2a$04$4R5hf4z4zRyKi4DPHp2N4uLybXOmsTCzTRQ4BTvVWCivCBiCybTYm"
)

// An Authority signs certificates for tests.
type Authority struct {
	File string         // its certificate in PEM
	Pool *x509.CertPool // with nothing but its certificate

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	issued      int64
}

// A Certificate is one for servers at localhost and 127.0.0.1, and for clients.
type Certificate struct {
	CertFile, KeyFile string // PEM
	TLS               tls.Certificate
}

// NewAuthority returns a new authority.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: TempDir(tb), Pool: x509.NewCertPool()}
	template := a.template("authority", time.Now().Add(time.Hour))
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	var der []byte
	a.certificate = template // it signs itself
	der, a.key = a.sign(tb, template)
	certificate, err := x509.ParseCertificate(der)
	must(tb, err)
	a.certificate = certificate
	a.Pool.AddCert(certificate)
	a.File = a.write(tb, "authority.pem", "CERTIFICATE", der)
	return a
}

// Issue returns a certificate that is valid until then.
func (a *Authority) Issue(tb testing.TB, name string, until time.Time) *Certificate {
	tb.Helper()
	template := a.template(name, until)
	template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, key := a.sign(tb, template)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(tb, err)
	return &Certificate{
		CertFile: a.write(tb, name+".pem", "CERTIFICATE", der),
		KeyFile:  a.write(tb, name+".key", "PRIVATE KEY", keyDER),
		TLS:      tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}
}

func (a *Authority) template(name string, until time.Time) *x509.Certificate {
	a.issued++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.issued),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-2 * time.Hour),
		NotAfter:     until,
	}
}

// sign makes a key, and a certificate of it.
func (a *Authority) sign(tb testing.TB, template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err = x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, signer)
	must(tb, err)
	return der, key
}

func (a *Authority) write(tb testing.TB, name, kind string, der []byte) string {
	tb.Helper()
	path := filepath.Join(a.dir, name)
	must(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
