"""No seq is negative: reads of a period begin behind seq -1 of its first millisecond. Checked without blocking writers."""

from django.db import migrations

_ADD = "ALTER TABLE tick ADD CONSTRAINT tick_seq_not_negative CHECK (seq >= 0) NOT VALID"
_DROP = "ALTER TABLE tick DROP CONSTRAINT tick_seq_not_negative"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("storage", "0002_tick_table")]
    operations = [
        migrations.RunSQL(["SET lock_timeout = '4s'", _ADD, "RESET lock_timeout"], _DROP),
        migrations.RunSQL(
            ["SET statement_timeout = 0", "ALTER TABLE tick VALIDATE CONSTRAINT tick_seq_not_negative", "RESET statement_timeout"],
            migrations.RunSQL.noop,
        ),
    ]
