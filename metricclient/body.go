package metricclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
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

// readBody reads a body of at most limit bytes. Memory use follows the bytes received, not the announced
// length. On a read error it returns the bytes read so far and the error. It returns no bytes if the body
// exceeds limit.
func readBody(r io.ReadCloser, limit int64) (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r, limit))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return "", fmt.Errorf("the reply is longer than %d bytes", limit)
	}
	return string(body), err
}

// endsUnmarked reports whether only the end of the connection marks the end of the body. A
// truncated body is then indistinguishable from a complete one.
func endsUnmarked(resp *http.Response) bool {
	return resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
}
