"""Certificates only grow: a trigger refuses UPDATE, DELETE and TRUNCATE, whoever asks for them."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION tickhub_refuse_certificate_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'certificates are only added: % refused', TG_OP USING ERRCODE = 'TH005';
END
$$;
CREATE TRIGGER certificate_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON quality_certificate
    FOR EACH STATEMENT EXECUTE FUNCTION tickhub_refuse_certificate_change();
"""
ALLOW = """
DROP TRIGGER certificate_only_added ON quality_certificate;
DROP FUNCTION tickhub_refuse_certificate_change();
"""


class Migration(migrations.Migration):
    dependencies = [("quality", "0003_certificate")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
