"""A channel to begin with: every incident that opens from now on is a line of the worker's log."""

from django.db import migrations

ADD = """
INSERT INTO quality_channel (name, kind, address, least_severity, causes, events, is_on)
    VALUES ('log', 'LOG', '', 'WARNING', '{}', '{OPENED,ESCALATED,ACKNOWLEDGED,RESOLVED}', true)
    ON CONFLICT (name) DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("quality", "0012_incident_news")]
    # Going back leaves it: deliveries may refer to it.
    operations = [migrations.RunSQL(ADD, migrations.RunSQL.noop)]
