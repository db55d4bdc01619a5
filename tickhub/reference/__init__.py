"""Reference data: what is traded, where it comes from, under which clock."""
