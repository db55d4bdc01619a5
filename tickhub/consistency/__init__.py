"""Compares the stations of hours with one another, a source at a time: every closed hour comes to its turn."""

from tickhub.consistency.watching import watch

__all__ = ["watch"]
