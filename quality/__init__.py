"""Judging: flags, findings, incidents, quarantine."""
