"""What every check knows: rows, the load that is planned, quota codes, hours, and how to ask AWS."""
