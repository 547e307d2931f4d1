package expo

// An Encoding compresses pages. Encodings are safe for concurrent use, and compared with ==.
type Encoding interface {
	// Name is the value of the Content-Encoding header.
	Name() string
	// Append appends the compressed page.
	Append(b, page []byte) []byte
}

// encodings are those that clients can ask for, the preferred one first.
var encodings = [...]Encoding{Zstd{}, Gzip{}}

// NegotiateEncoding chooses an encoding for a client that sends these Accept-Encoding headers: of those that it names the one with the highest
// q. It returns nil, for a page as it is, if the client names none, or prefers identity.
func NegotiateEncoding(accept []string) Encoding {
	named := make(map[string]float64)
	for c := range choices(accept) {
		named[c.name] = c.q
	}
	var chosen Encoding
	best := 0.0
	for _, e := range encodings {
		if q := named[e.Name()]; q > best && q >= named["identity"] {
			chosen, best = e, q
		}
	}
	return chosen
}
