"""Keys and passwords of a data folder, made once and kept in files of mode 600."""

import os
from collections.abc import Callable
from pathlib import Path

from tickhub.certificates import keys

_CERTIFICATES = "certificate-key"


def ensure(path: Path, make: Callable[[], str]) -> Path:
    """Write what ``make`` returns to a file that only its owner may read, unless it exists."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
    return path


def certificate_key(folder: Path) -> dict[str, str]:
    """Return the setting of the key that signs certificates, made where there is none; nothing where one is given."""
    if any(name in os.environ for name in ("TICKHUB_CERTIFICATE_KEY", "TICKHUB_CERTIFICATE_KEY_FILE")):
        return {}
    return {"TICKHUB_CERTIFICATE_KEY_FILE": str(ensure(folder / _CERTIFICATES, lambda: keys.generate().strip()))}
