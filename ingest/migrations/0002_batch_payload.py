"""The bytes of batches: daily partitions by day of capture. Stored as they are, beside the row: compressing them
would cost more time than the disk it saves, and a day's bytes are dropped whole."""

from django.db import migrations

CREATE = """
CREATE TABLE batch_payload (
    batch_id int8 NOT NULL,
    captured_on date NOT NULL,
    ticks bytea NOT NULL,
    marks bytea NOT NULL,
    context bytea NOT NULL,
    PRIMARY KEY (batch_id, captured_on)
) PARTITION BY RANGE (captured_on);
ALTER TABLE batch_payload ALTER COLUMN ticks SET STORAGE EXTERNAL;
ALTER TABLE batch_payload ALTER COLUMN marks SET STORAGE EXTERNAL;
ALTER TABLE batch_payload ALTER COLUMN context SET STORAGE EXTERNAL;
"""


class Migration(migrations.Migration):
    dependencies = [("ingest", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE batch_payload")]
