"""Arrays that go to PostgreSQL in its own format."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# A connection copies the adapters that are known when it is made: what is imported later is not known to it.
_KNOWN = (
    "import django; django.setup(); from django.db.backends.postgresql.psycopg_any import get_adapters_template;"
    "template = get_adapters_template(True, None);"
    "from psycopg.adapt import PyFormat; from storage.arrays import Int8s;"
    "print(template.get_dumper(Int8s, PyFormat.AUTO).oid)"
)


def test_a_connection_made_before_the_first_batch_can_write_one() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tickhub.settings"}

    done = subprocess.run(
        [sys.executable, "-c", _KNOWN], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("1016\n", 0), done.stderr
