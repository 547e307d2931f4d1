package metricclient

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Chunk sizes for reading a body. Memory use follows the bytes received, not the announced length.
const (
	firstChunk   = 4 << 10
	largestChunk = 1 << 20
)

// checkHead returns an error if the response header announces a body that is too long or encoded.
func checkHead(resp *http.Response, limit int64) error {
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fmt.Errorf("the reply has Content-Encoding %s, which was not requested", encoding)
	}
	if resp.ContentLength > limit {
		return fmt.Errorf("the reply has %d bytes, the limit is %d", resp.ContentLength, limit)
	}
	return nil
}

// readBody reads a body of at most limit bytes. On a read error it returns the bytes read so far
// and the error. It returns no bytes if the body exceeds limit.
func readBody(r io.Reader, limit int64) (string, error) {
	var full [][]byte
	var size int64
	chunk := make([]byte, 0, firstChunk)
	for {
		if len(chunk) == cap(chunk) {
			full = append(full, chunk)
			chunk = make([]byte, 0, min(largestChunk, size))
		}
		n, err := r.Read(chunk[len(chunk):cap(chunk)])
		chunk = chunk[:len(chunk)+n]
		size += int64(n)
		switch {
		case size > limit:
			return "", fmt.Errorf("the reply is longer than %d bytes", limit)
		case err == io.EOF:
			return join(append(full, chunk), size), nil
		case err != nil:
			return join(append(full, chunk), size), err
		}
	}
}

// join concatenates the chunks. It releases each chunk once it is copied.
func join(chunks [][]byte, size int64) string {
	var body strings.Builder
	body.Grow(int(size))
	for i, chunk := range chunks {
		body.Write(chunk)
		chunks[i] = nil
	}
	return body.String()
}

// endsUnmarked reports whether only the end of the connection marks the end of the body. A
// truncated body is then indistinguishable from a complete one.
func endsUnmarked(resp *http.Response) bool {
	return resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
}
