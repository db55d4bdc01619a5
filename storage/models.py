"""The register of tick partitions. The tick table itself is made by migration: its key is (feed, time_msc, seq)."""

from django.db import models
from django.db.models.functions import Now


class Partition(models.Model):
    """One UTC day of ticks in PostgreSQL."""

    day = models.DateField(primary_key=True)
    table_name = models.CharField(max_length=63, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-day"]

    def __str__(self) -> str:
        return self.table_name
