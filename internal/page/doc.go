// Package page applies names and filters to a snapshot: it decides which families a page has, in
// which order, and which samples belong to each. Package expo renders the page as bytes.
//
// An operator's rules about series apply to pages only. page leaves out families when it makes a
// layout, which is kept, so no page matches an expression again.
//
// Zeros are added when a page is rendered. Which counters have them is part of the compiled schema.
// Baselines and snapshots do not have them, so they cost no memory and no verification. They do not
// count toward the page budget, which protects against what sandboxes send: how many zeros there
// are depends on the registration.
package page
