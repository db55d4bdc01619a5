"""Thresholds only grow: a trigger refuses UPDATE, DELETE and TRUNCATE, as judgements refer to their rows."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION tickhub_refuse_threshold_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'thresholds only grow: % refused', TG_OP USING ERRCODE = 'TH004';
END
$$;
CREATE TRIGGER threshold_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON quality_threshold
    FOR EACH STATEMENT EXECUTE FUNCTION tickhub_refuse_threshold_change();
"""
ALLOW = """
DROP TRIGGER threshold_only_grows ON quality_threshold;
DROP FUNCTION tickhub_refuse_threshold_change();
"""


class Migration(migrations.Migration):
    dependencies = [("quality", "0005_threshold")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
