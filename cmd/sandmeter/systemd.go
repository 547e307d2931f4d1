package main

import (
	"errors"
	"log/slog"
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// systemdListeners returns the sockets that systemd passed to this process (LISTEN_FDS). systemd
// owns the socket files: closing a listener does not remove its file.
func systemdListeners() ([]net.Listener, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	if len(listeners) == 0 {
		return nil, errors.New("systemd passed no socket: start the service by a .socket unit, or leave out --web.systemd-socket")
	}
	if slices.Contains(listeners, nil) {
		return nil, errors.New("systemd passed a file descriptor that is no stream socket: the .socket unit should have ListenStream= only")
	}
	return listeners, nil
}

// tellReady tells systemd that the server listens, if it is a service with Type=notify (NOTIFY_SOCKET).
// metric-server does not: a service may have started it, and it would speak for that service.
func tellReady(log *slog.Logger) {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("Cannot tell systemd that the server listens", "err", err)
	}
}
