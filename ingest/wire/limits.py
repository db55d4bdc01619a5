"""The limits of the protocol. docs/wire.md names each; a test compares the two."""

PROTOCOL = 1
# Frames sent and not answered yet.
WINDOW = 8
FRAME_TICKS = 65_536
# One message as it travels, and one body after decompression.
MESSAGE_BYTES = 4 * 1024 * 1024
BODY_BYTES = 4 * 1024 * 1024
SYMBOLS = 512
SYMBOL_CHARS = 30
TEXT_CHARS = 200
RULE_CHARS = 60
CLOCK_CHARS = 64
PRIORITY_MOST = 32_767
# Periods of one digest request, ticks of all answers to one read request.
PERIODS = 512
READ_TICKS = 4_194_304

# How a terminal's connection to its broker may be, and the circuit breaker of who connects it.
LINKS = ("CONNECTED", "LINK_LOST", "IPC_LOST", "WRONG_ACCOUNT")
CIRCUITS = ("CLOSED", "OPEN", "HALF_OPEN")

HANDSHAKE_S = 10.0
# Each side says something at least so often, and gives a peer up that it has not heard for so long.
BEAT_S = 5
DEAD_S = 15
# For how much longer a beat may ask before one call into the terminal: to start it, to log in, to fetch its history.
BUSY_S = 150
# How far ahead of its poll an agent sends ticks while those of two epochs are mixed: clocks differ by a second or two.
MIXED_AHEAD_MS = 2_000
# How long a terminal may take for a digest or a read.
ANSWER_S = 60.0
