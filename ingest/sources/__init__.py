"""Where ticks come from: real terminals, the simulated one, recordings. Free of Django."""
