"""OpenTelemetry: a run's metrics while it goes on, by a process of its own that reads the run directory."""
