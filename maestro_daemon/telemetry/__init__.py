"""What operators measure: metrics for Prometheus, traces for OpenTelemetry. Off, both cost nothing."""
