"""The Django app of the audit ledger."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "tickhub.audit"
    verbose_name = "Audit"
