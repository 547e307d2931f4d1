package sandboxtest

// wants has the reason for which each liar should be refused, by its name. A liar that is not in it may
// be served.
var wants = map[string]string{}
