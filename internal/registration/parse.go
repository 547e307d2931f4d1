package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/protoadapt"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/state"
)

// maxMessages limits the number of messages in a text, and so their depth: runsc prints one per
// metric and one per field. The protobuf library skips unknown messages by recursion without a
// limit, and a stack overflow ends the process.
const maxMessages = 2 * schema.MaxMetrics

// maxReason is the maximum number of characters of an error of the protobuf library, which may quote
// the whole text.
const maxReason = 200

var errNoMetrics = errors.New("the registration has no metrics")

// Parse parses the output of `runsc metric-metadata`: a registration in the text format of protocol
// buffers. It skips unknown fields. The result is the same as from a state file with this
// registration, so the schema package may refuse it. A registration without metrics is an error.
func Parse(text []byte) (*state.Registration, error) {
	if bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("<")) > maxMessages {
		return nil, fmt.Errorf("not a registration: more than %d messages", maxMessages)
	}
	var m message
	if err := (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, protoadapt.MessageV2Of(&m)); err != nil {
		_, reason, _ := strings.Cut(err.Error(), ":") // without the prefix, which differs from build to build
		return nil, fmt.Errorf("not a registration: %+.*q", maxReason, strings.TrimSpace(reason))
	}
	if len(m.Metrics) == 0 {
		return nil, errNoMetrics
	}
	encoded, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return state.NewRegistration(encoded), nil
}

// Load reads a file with the output of `runsc metric-metadata`. It is an error if the schema package
// refuses the registration: a server with such a file should not start.
func Load(path string) (*state.Registration, error) {
	text, err := readFile(path, maxOutput)
	if err != nil {
		return nil, err
	}
	r, err := Parse(text)
	if err == nil {
		_, err = schema.Compile(r.JSON)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
