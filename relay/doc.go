// Package relay keeps one project's authenticated session on SignalWire Relay
// alive.
package relay
