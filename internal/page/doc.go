// Package page applies names and filters to a snapshot: it decides which families a page has, in
// which order, and which samples belong to each. Package expo renders the page as bytes.
package page
