// Package alerts replays simulated programs through the alerts, by Prometheus'
// own rule engine.
package alerts
