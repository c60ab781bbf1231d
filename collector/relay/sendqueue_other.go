//go:build !linux

package relay

import "net"

func limitSendQueue(net.Conn) {}
