"""The quota-increase request that a report can write beside itself."""
