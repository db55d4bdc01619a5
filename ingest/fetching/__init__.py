"""Mirrors a history provider's files from a server into a folder that its source reads."""
