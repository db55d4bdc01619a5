"""Keeping: the tick table, its partitions, reading, caches."""
