package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopWithin is how long a client has to end after SIGTERM before it is killed. The drain of a daemon is part of its work.
const stopWithin = 20 * time.Second

// child is a client under test, as a process of its own: its processor time and its memory are nobody else's.
type child struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error // valid once ended is closed
}

// startChild starts a program whose output goes to the file log. extra is added to the environment.
func startChild(log string, extra []string, name string, args ...string) (*child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), extra...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// cpu returns the processor time that the process has used so far, all threads, in user and kernel mode.
func (c *child) cpu() (time.Duration, error) {
	// The clock of another process, as clock_getcpuclockid(3) computes it. It counts nanoseconds where /proc counts ticks.
	clock := int32(^c.cmd.Process.Pid<<3 | 2)
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read the processor time of the client: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// peakRSS returns the most memory, in bytes, that was resident at once. The kernel's rusage will not do: it counts the
// parent's memory of the moment before exec.
func (c *child) peakRSS() (int64, error) { return c.memory("VmHWM:") }

// memory returns a figure of the process's memory, in bytes, by the kernel's name for it.
func (c *child) memory(name string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of the client: %w", err)
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			fields := bytes.Fields(rest)
			if len(fields) == 2 {
				kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
				return kib << 10, err
			}
		}
	}
	return 0, errors.New("the kernel does not tell the memory of the client")
}

// stop ends the process.
func (c *child) stop() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		c.kill()
	}
}

// used returns the processor time of the whole life of a process that has ended.
func (c *child) used() time.Duration {
	state := c.cmd.ProcessState
	return state.UserTime() + state.SystemTime()
}

// kill ends the process without a warning.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.ended
}

// tail returns the end of what the process wrote.
func (c *child) tail() string {
	const keep = 2048
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(data[max(0, len(data)-keep):]))
}
