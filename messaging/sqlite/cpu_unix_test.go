//go:build unix

package sqlite_test

import (
	"syscall"
	"time"
)

// cpu is the processor time that the process has used. It says what a commit costs where
// the clock says what else the machine is doing.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
