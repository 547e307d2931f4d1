package dashboards

// Links keep the data source, the job and the time range, and select what was clicked on.
const (
	kept      = "${datasource:queryparam}&${job:queryparam}&${__url_time_range}"
	keptNode  = kept + "&${instance:queryparam}"
	openThis  = "Open the sandbox"
	openNode  = "Open the node"
	openSpace = "Show only this namespace"
)

// Links of tables take values from the row: that of their own column as it is, and those of others as
// they are shown.
const (
	rowToNamespace = "/d/" + fleetUID + "?" + keptNode + "&var-namespace=${__value.raw:percentencode}"
	rowToNode      = "/d/" + nodeUID + "?" + kept + "&var-instance=${__value.raw:percentencode}"
	rowSandbox     = "&var-sandbox=${__value.raw:percentencode}&var-iteration=${__data.fields.iteration:percentencode}"
	rowToSandbox   = "/d/" + sandboxUID + "?" + kept + "&var-instance=${__data.fields.instance:percentencode}" + rowSandbox
)

// Links of graphs take values from the labels of the series.
const (
	lineToNode    = "/d/" + nodeUID + "?" + kept + "&var-instance=${__field.labels.instance:percentencode}"
	lineToSandbox = "/d/" + sandboxUID + "?" + kept + "&var-instance=${__field.labels.instance:percentencode}" +
		"&var-sandbox=${__field.labels.sandbox:percentencode}&var-iteration=${__field.labels.iteration:percentencode}"
)
