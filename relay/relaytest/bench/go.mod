module github.com/signpost-sms/signpost/relay/relaytest/bench

go 1.26.0

require (
	github.com/google/uuid v1.6.0
	github.com/gorilla/websocket v1.5.3
	golang.org/x/sys v0.49.0
)
