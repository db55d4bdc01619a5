"""An index of the incidents to which something has happened that no delivery was made of yet: hardly ever any."""

from django.db import migrations

ADD = """
CREATE INDEX incident_with_news ON quality_incident (id)
    WHERE events_noted < 1 + num_nonnulls(escalated_at, acknowledged_at, resolved_at);
"""


class Migration(migrations.Migration):
    dependencies = [("quality", "0011_notification")]
    operations = [migrations.RunSQL(ADD, "DROP INDEX incident_with_news")]
