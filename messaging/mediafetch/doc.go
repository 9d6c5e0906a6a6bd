// Package mediafetch brings the media of inbound messages onto this machine, when a handler
// asks for them, and keeps them for a while.
//
//	f, err := mediafetch.New(mediafetch.Config{Dir: "/var/lib/signpost/media"})
//	file, err := f.Open(ctx, url)
//	defer file.Close() // a reader, with Type and Size
//
// The URL was written by a stranger. So only http and https are fetched, from public
// addresses alone: that is checked on the address which is really dialled, after the name
// was resolved and on every redirect. Time, size and number of redirects are bounded, no
// proxy is used, no compressed answer is unpacked, and the type is read from the bytes, not
// believed. Files are named by the hash of what is in them, with mode 0600.
//
// Errors do not hold the URL, which may carry a secret. A Fetcher may be used by many goroutines.
package mediafetch
