"""The tick table: daily range partitions, key (feed, time_msc, seq), wide columns before narrow ones.

NULL stands for a value of which no bit is set. batch_id has no foreign key: the check would cost a lookup per tick.
"""

from django.db import migrations

CREATE = """
CREATE TABLE tick (
    time_msc int8 NOT NULL,
    batch_id int8 NOT NULL,
    bid float8,
    ask float8,
    last float8,
    volume int8,
    volume_real float8,
    flags int4 NOT NULL,
    quality int4,
    feed_id int2 NOT NULL,
    seq int2 NOT NULL,
    PRIMARY KEY (feed_id, time_msc, seq)
) PARTITION BY RANGE (time_msc)
"""


class Migration(migrations.Migration):
    dependencies = [("storage", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE tick")]
