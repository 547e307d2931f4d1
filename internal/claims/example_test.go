package claims_test

import (
	"fmt"
	"time"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/fact"
)

// A sandbox with two containers claims more CPU time than it used, because its tasks wait for a CPU.
func ExampleTally() {
	began := time.Unix(1_800_000_000, 0)
	read := func(seconds, host, app, proxy int64) claims.Reading {
		return claims.Reading{
			Time: began.Add(time.Duration(seconds) * time.Second), Began: began, Cores: 2,
			CPU: fact.Of(host*1e9, true),
			Containers: []claims.Container{
				{ID: "app", CPU: fact.Of(app*1e9, true)},
				{ID: "proxy", CPU: fact.Of(proxy*1e9, true)},
			},
		}
	}
	var t claims.Tally
	t.Add(read(60, 10, 12, 0))
	t.Add(read(75, 22, 24, 4)) // 12 s more, of which three quarters are the app's
	shares, none := t.Shares()
	for _, s := range shares {
		fmt.Println(s.ID, time.Duration(s.CPU))
	}
	fmt.Println("no container", time.Duration(none))
	v := t.Verdict(claims.CPU)
	fmt.Printf("claimed and measured differ by %.2f, suspicious: %t\n", v.Ratio, v.Suspicious)
	// Output:
	// app 19s
	// proxy 3s
	// no container 0s
	// claimed and measured differ by 0.33, suspicious: false
}
