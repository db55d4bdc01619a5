"""An index on the time that a batch's ticks span, which both ends of a period bound. By the index on their latest tick
alone, a read of old history passed over all that was captured since."""

from django.contrib.postgres.indexes import GistIndex
from django.db import migrations, models
from django.db.models.functions import Least

_SPAN = models.Func(
    Least("first_msc", 1 << 62), Least("last_msc", 1 << 62), models.Value("[]"), function="int8range"
)
# Built beside running capture, and again where an earlier try was broken off, which leaves an index that nobody uses.
_CREATE = [
    "SET statement_timeout = 0",
    "DROP INDEX CONCURRENTLY IF EXISTS batch_by_span",
    "CREATE INDEX CONCURRENTLY batch_by_span ON ingest_batch USING gist"
    f" (int8range(LEAST(first_msc, {1 << 62}), LEAST(last_msc, {1 << 62}), '[]')) WHERE first_msc IS NOT NULL",
    "RESET statement_timeout",
]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ingest", "0007_tick_ages")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_CREATE, "DROP INDEX CONCURRENTLY IF EXISTS batch_by_span")],
            state_operations=[
                migrations.AddIndex(
                    "batch",
                    GistIndex(_SPAN, condition=models.Q(first_msc__isnull=False), name="batch_by_span"),
                ),
            ],
        )
    ]
