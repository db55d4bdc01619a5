"""The table of batches of which checks were left out."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tickhub.reference.models import Source


class UnjudgedBatch(models.Model):
    """A stored batch of which checks were left out as one took too long, and what became of making up for it."""

    batch_id = models.BigIntegerField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    checks = ArrayField(models.CharField(max_length=40), help_text="Flags of the checks left out.")
    found_at = models.DateTimeField(db_default=Now())
    attempts = models.SmallIntegerField(db_default=0)
    next_at = models.DateTimeField(db_default=Now(), help_text="Not tried before.")
    judged_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True, default="", db_default="", help_text="Why it stays as it is.")

    class Meta:
        ordering = ["-batch_id"]
        verbose_name_plural = "unjudged batches"
        indexes = [
            models.Index(
                fields=["next_at"], condition=models.Q(judged_at=None, failure=""), name="unjudged_batch_waiting"
            )
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(checks__len__gt=0), name="unjudged_batch_names_checks"),
            models.CheckConstraint(
                condition=models.Q(judged_at=None) | models.Q(failure=""), name="unjudged_batch_judged_or_not"
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.batch_id} without {', '.join(self.checks)}"
