package main

import (
	"regexp"
	"strings"
	"time"
)

// described matches the output of git describe --tags for a tag of a semantic version: the version,
// its prerelease, the number of commits since the tag, and the commit.
var described = regexp.MustCompile(`^v?(\d+\.\d+\.\d+)(?:-([0-9A-Za-z.]+))??(?:-(\d+)-(g[0-9a-f]+))?$`)

// packageVersion returns the version of the packages, as both dpkg and rpm order them: a
// prerelease comes before its release, and commits after a tag come after it. A checkout without a tag is
// before every release, in the order of the dates of its commits.
func packageVersion(describe string, date time.Time) string {
	describe, dirty := strings.CutSuffix(describe, "-dirty")
	m := described.FindStringSubmatch(describe)
	if m == nil {
		return "0~git" + date.UTC().Format("20060102150405") + "." + unusual.ReplaceAllString(describe, ".") + suffix(dirty, ".dirty")
	}
	version := m[1] + suffix(m[2] != "", "~"+m[2])
	if m[3] != "" {
		return version + "+" + m[3] + "." + m[4] + suffix(dirty, ".dirty")
	}
	return version + suffix(dirty, "+dirty")
}

// unusual matches what a version of a package cannot have.
var unusual = regexp.MustCompile(`[^A-Za-z0-9.+~]+`)

// suffix returns the text if the condition is true.
func suffix(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}
