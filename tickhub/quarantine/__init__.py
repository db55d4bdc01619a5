"""Decides on quarantined ticks, and shows them among their neighbours: quality and storage in one transaction."""
