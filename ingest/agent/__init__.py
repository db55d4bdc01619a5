"""The agent: polls a terminal on its machine and sends what is new to the bridge. It keeps nothing and imports nothing
that knows a database."""
