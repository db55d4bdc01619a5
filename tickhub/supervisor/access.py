"""Who may look: the web's key and the first administrator of a data folder, made once and kept in files of mode 600."""

import os
import secrets
from pathlib import Path

from django.contrib.auth import get_user_model

from tickhub import keyfiles

_KEY, _PASSWORD = "secret-key", "admin-password"  # names of files


def environment(folder: Path) -> dict[str, str]:
    """Return what the children need to share: the web's key and that of certificates, unless they are given already."""
    found = keyfiles.certificate_key(folder)
    if any(name in os.environ for name in ("TICKHUB_SECRET_KEY", "TICKHUB_SECRET_KEY_FILE")):
        return found
    return found | {"TICKHUB_SECRET_KEY_FILE": str(keyfiles.ensure(folder / _KEY, lambda: secrets.token_urlsafe(50)))}


def ensure_admin(folder: Path) -> None:
    """Make the user ``admin`` with a random password where nobody can log in yet."""
    users = get_user_model().objects
    if not users.exists():
        path = keyfiles.ensure(folder / _PASSWORD, lambda: secrets.token_urlsafe(12))
        users.create_superuser("admin", password=path.read_text().strip())


def hint(folder: Path) -> str:
    """Tell how to log in."""
    path = folder / _PASSWORD
    return f"user admin, password in {path}" if path.exists() else "log in with your own user"
