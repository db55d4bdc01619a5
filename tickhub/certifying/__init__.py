"""Makes certificates: what every station says of each past hour of a feed, signed and linked."""

from tickhub.certifying.issuing import KeyMissing, issue

__all__ = ["KeyMissing", "issue"]
