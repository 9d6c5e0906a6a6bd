//go:build !unix

package handlers

import "os/exec"

// inGroup does nothing here: the program itself is killed when its context ends.
func inGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
