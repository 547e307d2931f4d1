package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// CheckAddress returns an error unless addr has the syntax of a metric server's address: host:port,
// :port, or the absolute path of a Unix socket, which may begin with [RuntimeRoot].
func CheckAddress(addr string) error {
	const forms = "give host:port, :port or the absolute path of a Unix socket"
	_, port, err := net.SplitHostPort(addr)
	wrong, isWrong := errors.AsType[*net.AddrError](err)
	switch {
	case IsSocket(addr):
		return nil
	case addr == "":
		return errors.New(forms)
	case strings.HasPrefix(addr, "unix:"):
		return fmt.Errorf("it is a URL: give the path, /%s", strings.TrimLeft(strings.TrimPrefix(addr, "unix:"), "/"))
	case strings.Contains(addr, "://"):
		return errors.New("it is a URL: give its host:port")
	case strings.Contains(addr, "/") || strings.HasSuffix(addr, ".sock"):
		return errors.New("it is a relative path: the path of a Unix socket must be absolute")
	case isWrong:
		return fmt.Errorf("%s: %s", wrong.Err, forms)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("unknown port %q: %s", port, forms)
	}
	return nil
}

// IsSocket reports whether an address is the path of a Unix socket.
func IsSocket(addr string) bool { return filepath.IsAbs(ExpandAddress(addr, "/")) }
