package expo

// An Encoding compresses pages. Encodings are safe for concurrent use and are compared with ==.
type Encoding interface {
	// Name is the value of the Content-Encoding header.
	Name() string
	// Append appends the compressed page to b.
	Append(b, page []byte) []byte
}

// encodings are the supported encodings, in order of preference.
var encodings = [...]Encoding{Zstd{}, Gzip{}}

// NegotiateEncoding chooses the encoding with the highest q in the Accept-Encoding headers of a
// client. It returns nil, for an uncompressed page, if the headers name no supported encoding or
// prefer identity.
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
