"""A pytest plugin: processes that tests start keep their bytecode, where the environment says that none may."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

_FORBIDDEN_BY, _KEPT_IN = "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"
_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Give them a folder outside the checkout: without bytecode each of hundreds compiles Django anew, for a second."""
    if not os.environ.get(_FORBIDDEN_BY):
        return
    folder = Path(tempfile.mkdtemp(prefix="tickhub-bytecode-"))
    # Processes of other users read it, and only ours writes it.
    folder.chmod(0o755)
    del os.environ[_FORBIDDEN_BY]
    os.environ[_KEPT_IN] = str(folder)
    early_config.stash[_FOLDER] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder."""
    if _FOLDER in config.stash:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
