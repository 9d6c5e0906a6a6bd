package loadserver

// Identifiers on the wire look like version 4 UUIDs and carry, in this order, the nonce of the run, what they name, how
// often it was delivered, and its number: an answer is matched to its question by reading it, without a map.
type kind uint16

const (
	kindInbound   kind = 0x1b0d // envelope id of an inbound event
	kindSent      kind = 0x1b5e // envelope id of the state event "sent"
	kindDelivered kind = 0x1bde // envelope id of the state event "delivered"
	kindPing      kind = 0x1b91 // id of a signalwire.ping of the server
	kindMessage   kind = 0x1b33 // message_id of an inbound
	kindAnswer    kind = 0x1ba5 // message_id of an accepted send
)

const (
	idLength    = 36
	maxDelivery = 0xfff // three hexadecimal digits
)

const hexDigits = "0123456789abcdef"

type id struct {
	kind     kind
	delivery int
	number   int
}

// appendID appends an identifier of the run with the given nonce.
func appendID(dst []byte, nonce uint32, k kind, delivery, number int) []byte {
	dst = appendHex(dst, uint64(nonce), 8)
	dst = append(dst, '-')
	dst = appendHex(dst, uint64(k), 4)
	dst = append(dst, '-', '4')
	dst = appendHex(dst, uint64(delivery), 3)
	dst = append(dst, "-8000-"...)
	return appendHex(dst, uint64(number), 12)
}

// parseID reads an identifier of the run with the given nonce; anything else is not ok.
func parseID(b []byte, nonce uint32) (parsed id, ok bool) {
	if len(b) != idLength || b[8] != '-' || b[13] != '-' || b[14] != '4' || b[18] != '-' || b[23] != '-' {
		return id{}, false
	}
	run, ok1 := parseHex(b[:8])
	k, ok2 := parseHex(b[9:13])
	delivery, ok3 := parseHex(b[15:18])
	number, ok4 := parseHex(b[24:])
	if !ok1 || !ok2 || !ok3 || !ok4 || uint32(run) != nonce {
		return id{}, false
	}
	return id{kind: kind(k), delivery: int(delivery), number: int(number)}, true
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&0xf])
	}
	return dst
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
