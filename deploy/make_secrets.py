"""Makes the secrets that docker-compose.yml mounts: make_secrets.py [FOLDER]. Existing files are kept."""

import base64
import secrets
import sys
from pathlib import Path


def make(folder: Path) -> list[Path]:
    """Write what is missing to a folder that only its user can enter; return the new files.

    The files themselves are readable: a container's user is another one, and sees only those mounted for it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    postgres = _kept(folder / "postgres_password")
    redis = _kept(folder / "redis_password")
    wanted = {
        "postgres_password": postgres,
        "redis_password": redis,
        "database_url": f"postgresql://tickhub:{postgres}@postgres:5432/tickhub",
        "redis_url": f"redis://:{redis}@redis:6379/0",
        "secret_key": secrets.token_urlsafe(64),
        "certificate_key": _ed25519(),
    }
    made = [folder / name for name in wanted if not (folder / name).exists()]
    for path in made:
        path.write_text(wanted[path.name] + "\n")
        path.chmod(0o644)
    return made


def _kept(path: Path) -> str:
    return path.read_text().strip() if path.exists() else secrets.token_urlsafe(32)


def _ed25519() -> str:
    """Return a new Ed25519 private key as PEM (RFC 8410): any 32 bytes are one."""
    coded = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + secrets.token_bytes(32)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{coded}\n-----END PRIVATE KEY-----"


if __name__ == "__main__":
    for file in make(Path(sys.argv[1] if len(sys.argv) > 1 else "data/secrets")):
        sys.stdout.write(f"made {file}\n")
