package config

import (
	"errors"
	"net"
	"path/filepath"
)

// CheckAddress returns an error unless addr has the syntax of a metric server's address: host:port,
// :port, or the absolute path of a Unix socket, which may begin with [RuntimeRoot].
func CheckAddress(addr string) error {
	if IsSocket(addr) {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if _, unknown := net.LookupPort("tcp", port); err != nil || port == "" || unknown != nil {
		return errors.New("give host:port, :port or the absolute path of a Unix socket")
	}
	return nil
}

// IsSocket reports whether an address is the path of a Unix socket.
func IsSocket(addr string) bool { return filepath.IsAbs(ExpandAddress(addr, "/")) }
