"""Benchmarks: each measures the running system against the ceiling of the same machine, in one run."""
