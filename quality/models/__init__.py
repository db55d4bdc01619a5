"""The tables of this app, by subject."""

from quality.models.hours import Certificate, Certification, DueHours, Examination, FeedAgreement, FeedHour, Gap
from quality.models.incidents import Channel, Delivery, Finding, Incident
from quality.models.ticks import QuarantinedTick, Threshold, UnjudgedBatch

__all__ = [
    "Certificate",
    "Certification",
    "Channel",
    "Delivery",
    "DueHours",
    "Examination",
    "FeedAgreement",
    "FeedHour",
    "Finding",
    "Gap",
    "Incident",
    "QuarantinedTick",
    "Threshold",
    "UnjudgedBatch",
]
