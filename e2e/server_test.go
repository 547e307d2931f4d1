package e2e

import (
	"time"
)

// soon is the time limit for a server to notice a change of its runtime root without a scrape, and
// to end. It takes less than a second, except on a slow machine; without inotify it would take up
// to a minute.
const soon = 20 * time.Second
