"""History providers: each reads its own kind of files into ticks, on its own clock."""
