"""The run directory: its names, columns, manifest, ledger and journals; the one place that knows the format."""
