"""The rule of a source's clock, and the stretch of a repeated hour whose pass cannot be told."""

from django.db import migrations, models

# Sources known so far have one epoch of a fixed offset: its text is the rule.
_NAME_RULES = """
UPDATE reference_source s
SET clock = CASE WHEN e.offset_ms = 0 THEN 'UTC'
                 ELSE (CASE WHEN e.offset_ms < 0 THEN '-' ELSE '+' END)
                      || to_char(make_interval(secs => abs(e.offset_ms) / 1000), 'HH24:MI') END
FROM reference_clockepoch e
WHERE e.source_id = s.id
"""


class Migration(migrations.Migration):
    """Adds the columns and fills the rule in."""

    dependencies = [("reference", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="source",
            name="clock",
            field=models.CharField(
                default="UTC", help_text="The rule of the terminal's clock, as in clock=.", max_length=60
            ),
        ),
        migrations.AddField(
            model_name="clockepoch",
            name="unsure_from_msc",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="clockepoch",
            name="unsure_to_msc",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.RunSQL(_NAME_RULES, migrations.RunSQL.noop),
    ]
