//go:build !linux && !darwin && !freebsd

package sqlite

// fileSystem names the file system that a directory is on. Here nobody knows.
func fileSystem(string) string { return "" }
