"""The protocol between agents and the bridge, described in docs/wire.md. Pure: both sides use it."""
