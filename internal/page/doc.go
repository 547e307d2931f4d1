// Package page applies names and filters to a snapshot: it says which families a page has, in which order, and which samples of which
// source belong to each. What the bytes of a page look like is for package expo.
package page
