package state

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// Iteration returns the value of the label iteration. It differs between sandboxes with the same
// ID: one that was deleted, and one that was created later.
func Iteration(id string, createdAt time.Time) string {
	sum := sha256.Sum256([]byte(id + ":" + createdAt.UTC().String()))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:]), 36)
}
