"""One log line per event: constant text, the facts of ``extra`` as ``name=value`` behind it."""

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "data"}


class FactsFormatter(logging.Formatter):
    """Write time, level, logger, message and every extra fact."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if not facts:
            return line
        first, *rest = line.split("\n", 1)
        written = " ".join(
            f"{key}={value!r}" if isinstance(value, str) else f"{key}={value}" for key, value in facts.items()
        )
        return "\n".join([f"{first} {written}", *rest])
