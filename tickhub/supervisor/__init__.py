"""The whole system on one machine: starts every process, watches them, restarts what dies, ends them in order."""
