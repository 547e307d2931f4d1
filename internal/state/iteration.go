package state

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// Iteration tells the lives of an ID apart: a sandbox that was deleted and created again under the same ID has another iteration. It
// is the value of the label of that name.
func Iteration(id string, createdAt time.Time) string {
	sum := sha256.Sum256([]byte(id + ":" + createdAt.UTC().String()))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:]), 36)
}
