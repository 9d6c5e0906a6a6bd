module github.com/signpost-sms/signpost/relay/relaytest/bench/product

go 1.26.0
