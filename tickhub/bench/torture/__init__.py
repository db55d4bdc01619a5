"""Capture under faults: seeded schedules against the real processes, and an independent comparison after each run."""
