//go:build !linux

package relay

import (
	"net"
	"syscall"
)

func limitSendQueue(net.Conn, int) {}

func limitReceived(syscall.RawConn, int) {}
