"""Keys and passwords of a data folder, made once and kept in files of mode 600."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tickhub.certificates import keys

_CERTIFICATES = "certificate-key"


def ensure(path: Path, make: Callable[[], str]) -> Path:
    """Write what ``make`` returns to a file that only its owner may read, unless it exists."""
    if not path.exists():
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
        # Whole or not at all: another process may make it at the same moment, and whoever is first wins.
        with suppress(FileExistsError):
            os.link(name, path)
        os.unlink(name)
    return path


def certificate_key(folder: Path) -> dict[str, str]:
    """Return the setting of the key that signs certificates, made where there is none; nothing where one is given."""
    if any(name in os.environ for name in ("TICKHUB_CERTIFICATE_KEY", "TICKHUB_CERTIFICATE_KEY_FILE")):
        return {}
    return {"TICKHUB_CERTIFICATE_KEY_FILE": str(ensure(folder / _CERTIFICATES, lambda: keys.generate().strip()))}
