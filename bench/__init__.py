"""The benchmarks: one job for several systems, in one run on one machine."""
