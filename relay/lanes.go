package relay

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/coder/websocket"
)

// roundBytes bounds what one round of the writer puts into one write. It is
// also the most that a pong can find in front of it on our side.
const roundBytes = 64 << 10

// maxLane bounds the bytes that wait in one lane. A session whose peer lets
// that many acknowledgements gather is lost, and requests beyond it are
// refused as not sent.
const maxLane = 16 << 20

// lane is a queue of whole frames, back to back in one buffer.
type lane struct {
	buf  []byte
	ends []int // where each frame ends in buf
	next int   // the first frame not taken
}

func (l *lane) empty() bool { return l.next == len(l.ends) }
func (l *lane) len() int    { return len(l.ends) - l.next }

// close marks what was appended to buf since the last frame as one frame.
func (l *lane) close() { l.ends = append(l.ends, len(l.buf)) }

func (l *lane) push(frame []byte) {
	l.buf = append(l.buf, frame...)
	l.close()
}

// pushFront puts a frame before all that wait.
func (l *lane) pushFront(frame []byte) {
	rest := lane{}
	rest.push(frame)
	for !l.empty() {
		rest.push(l.take())
	}
	*l = rest
}

func (l *lane) take() []byte {
	start := 0
	if l.next > 0 {
		start = l.ends[l.next-1]
	}
	f := l.buf[start:l.ends[l.next]]
	l.next++
	return f
}

// reset empties the lane and keeps its memory, unless a burst made it large.
func (l *lane) reset() {
	l.next = 0
	l.ends = l.ends[:0]
	l.buf = l.buf[:0]
	if cap(l.buf) > 4*roundBytes {
		l.buf = nil
		l.ends = nil
	}
}

// lanes are the frames that wait to be written, in three queues by urgency:
// control (pongs, replies to disconnect, the session's own calls), then
// acknowledgements, then requests. The session's mutex guards them; the writer
// takes a whole lane at a time by exchanging it for an empty one.
type lanes struct {
	control  lane
	acks     lane
	requests lane
}

func (l *lanes) empty() bool { return l.control.empty() && l.acks.empty() && l.requests.empty() }

// write is the session's only writer (and the flusher of its connection): it
// encodes waiting frames into the connection's buffer and flushes, round by
// round. Each round takes all of the control lane, then up to half a round of
// acknowledgements, then requests, so that none starves the others.
func (s *session) write() {
	defer close(s.written)
	var (
		control, acks, requests lane  // taken, being written
		starts                  []int // where this round's requests begin in the connection's buffer
	)
	for {
		if control.empty() && acks.empty() && requests.empty() && !s.awaitWork() {
			return
		}

		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return
		}
		if s.draining {
			requests.reset() // failed as not sent by drain
		}
		exchange(&control, &s.lanes.control)
		exchange(&acks, &s.lanes.acks)
		exchange(&requests, &s.lanes.requests)
		n, size := requests.fits(roundBytes / 2)
		s.encoded += uint64(n) // from here these requests cannot be called back
		first := s.encoded - uint64(n) + 1
		s.mu.Unlock()

		var err error
		for err == nil && !control.empty() {
			err = s.writeFrame(control.take())
		}
		ackRoom := roundBytes - size
		for err == nil && !acks.empty() && ackRoom > 0 {
			f := acks.take()
			ackRoom -= len(f)
			err = s.writeFrame(f)
		}
		starts = starts[:0]
		for range n {
			if err != nil {
				break
			}
			starts = append(starts, s.conn.buffered())
			err = s.writeFrame(requests.take())
		}

		taken, flushErr := s.conn.flush()
		s.noteTaken(first, starts, taken, flushErr)
		if flushErr != nil {
			err = flushErr
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				// The peer is gone. What it said last, and why it left, is
				// still to be read.
				s.lastFrames()
			}
			s.end(reasonWrite, err)
			return
		}
	}
}

// exchange swaps an exhausted lane of the writer for the one that filled.
func exchange(mine, theirs *lane) {
	if mine.empty() && !theirs.empty() {
		mine.reset()
		*mine, *theirs = *theirs, *mine
	}
}

// fits returns how many frames fit into size bytes, at least one if there is
// any, and their size.
func (l *lane) fits(size int) (n, bytes int) {
	if l.empty() {
		return 0, 0
	}
	start := 0
	if l.next > 0 {
		start = l.ends[l.next-1]
	}
	for i := l.next; i < len(l.ends); i++ {
		if n > 0 && l.ends[i]-start > size {
			break
		}
		n++
		bytes = l.ends[i] - start
	}
	return n, bytes
}

// writeFrame encodes one frame into the connection's buffer. It does not wait
// for the network, so the context that would close the connection stays out.
func (s *session) writeFrame(frame []byte) error {
	return s.ws.Write(context.Background(), websocket.MessageText, frame)
}

// noteTaken draws the line between not sent and in doubt: requests up to
// s.taken may have reached the kernel in part, later ones cannot have.
// starts[i] is where request first+i begins in what was flushed.
func (s *session) noteTaken(first uint64, starts []int, taken int, err error) {
	n := len(starts)
	if err != nil {
		n = 0
		for n < len(starts) && starts[n] < taken {
			n++
		}
	}
	if n > 0 {
		s.mu.Lock()
		s.taken = first + uint64(n) - 1
		s.mu.Unlock()
	}
}

// awaitWork parks the writer until there is something to write. It returns
// false when the session is over.
func (s *session) awaitWork() bool {
	for {
		if work, closed := s.work(); closed || work {
			return !closed
		}
		s.parked.Store(true)
		// Whoever added work before it could see parked did not wake us.
		if work, closed := s.work(); (work || closed) && s.parked.CompareAndSwap(true, false) {
			return !closed
		}
		<-s.wake
	}
}

func (s *session) work() (work, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	work = s.opened && (!s.lanes.empty() || s.conn.buffered() > 0)
	if !work && s.quiet != nil {
		close(s.quiet)
		s.quiet = nil
	}
	return work, s.closed
}

// kick wakes the writer if it is parked. Called without s.mu.
func (s *session) kick() {
	if s.parked.Load() && s.parked.CompareAndSwap(true, false) {
		s.wake <- struct{}{}
	}
}

// settleWrites waits until all that was queued has been handed to the kernel,
// or done ends.
func (s *session) settleWrites(done <-chan struct{}) error {
	quiet := make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.quiet = quiet
	s.mu.Unlock()
	s.kick()
	select {
	case <-quiet:
		return nil
	case <-done:
		return context.DeadlineExceeded
	}
}
