// The alerts, the recording rules, and the dashboards, as jsonnet users expect them. Everything is in the
// files that it names.
{
  prometheusAlerts+:: std.parseYaml(importstr 'rules/alerts.yaml'),
  prometheusRules+:: std.parseYaml(importstr 'rules/recording.yaml'),
  grafanaDashboards+:: {
    'sandmeter-fleet.json': import 'dashboards/fleet.json',
    'sandmeter-node.json': import 'dashboards/node.json',
    'sandmeter-sandbox.json': import 'dashboards/sandbox.json',
  },
}
