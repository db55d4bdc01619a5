"""Checks: pure functions over arrays. Each returns one boolean per tick and changes nothing."""
