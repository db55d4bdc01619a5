"""The ledger only grows: a trigger refuses UPDATE, DELETE and TRUNCATE, whoever asks for them."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION tickhub_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit ledger only grows: % refused', TG_OP USING ERRCODE = 'TH004';
END
$$;
CREATE TRIGGER audit_entry_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION tickhub_refuse_audit_change();
"""
ALLOW = """
DROP TRIGGER audit_entry_only_grows ON audit_entry;
DROP FUNCTION tickhub_refuse_audit_change();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
