"""A function that fails a statement which touched another number of rows than it had to.

A statement that judges its own counts needs no transaction around it: one round trip instead of three.
"""

from django.db import migrations

_CREATE = """
CREATE FUNCTION tickhub_require(actual bigint, expected bigint, code text, what text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = format('%s: %s rows touched, expected %s', what, actual, expected);
    END IF;
    RETURN actual;
END
$$
"""


class Migration(migrations.Migration):
    """Creates ``tickhub_require``."""

    dependencies = [("ingest", "0002_batch_payload")]
    operations = [
        migrations.RunSQL(_CREATE, "DROP FUNCTION tickhub_require(bigint, bigint, text, text)"),
    ]
