"""Benchmarks: declared workloads, each checked for the right result before it is timed."""
