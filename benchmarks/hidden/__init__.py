"""Hidden services in virtual time for `benchmarks.capacity`: families of limiters, latencies, clocks and chat quotas."""
