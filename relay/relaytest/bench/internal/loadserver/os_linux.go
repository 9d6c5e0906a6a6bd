package loadserver

import (
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// tcpEstablished is the kernel's TCP_ESTABLISHED: neither side has closed.
const tcpEstablished = 1

// rawReader reads from a non-blocking descriptor without waiting.
type rawReader uintptr

func (r rawReader) Read(p []byte) (int, error) {
	n, err := unix.Read(int(r), p)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// open reports whether the client still holds its side of the connection. The kernel knows before the reader is told.
func (c *conn) open() bool {
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		open = err == nil && info.State == tcpEstablished
	})
	return open
}

// unsent returns how many bytes wait in the send buffer for the client to make room.
func (c *conn) unsent() (n int64) {
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if waiting, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD); err == nil {
			n = int64(waiting)
		}
	})
	return n
}

// sleepUntil waits with the kernel's clock: the runtime's timers are coarser than the pauses of a load of some thousand
// messages a second.
func sleepUntil(t time.Time) {
	for {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(d.Nanoseconds())
		unix.Nanosleep(&ts, nil)
	}
}
