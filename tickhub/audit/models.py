"""The audit ledger's table. A trigger refuses every change of its rows (``0002_refuse_changes``)."""

from django.db import models
from django.db.models.functions import Now


class Entry(models.Model):
    """One thing that was done, inserted in the transaction that did it."""

    at = models.DateTimeField(db_default=Now(), help_text="When the transaction began.")
    actor = models.CharField(max_length=200, help_text="Who: a user and host, or system.")
    action = models.CharField(max_length=60, help_text="What was done, in capitals.")
    object = models.CharField(max_length=500, help_text="What it was done to.")
    details = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(actor="") & ~models.Q(action="") & ~models.Q(object=""),
                name="audit_entry_says_who_what_and_to_what",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object}"
