"""A pytest plugin: real servers for one test session, unless DATABASE_URL and REDIS_URL name others."""

import atexit
import os
import tempfile
from pathlib import Path

import pytest

from tickhub.core.errors import UsageError
from tickhub.embedded.folder import DataFolder
from tickhub.embedded.servers import Servers, given_urls

_SERVERS = pytest.StashKey[Servers]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start them before pytest-django loads the settings, which hold their addresses."""
    options = early_config.known_args_namespace
    # With -n each process that runs tests has servers of its own; the one that hands tests out needs none.
    hands_out = bool(getattr(options, "numprocesses", None)) and "PYTEST_XDIST_WORKER" not in os.environ
    if options.help or options.version or hands_out or len(given_urls()) == 2:
        return
    servers = Servers(DataFolder(tempfile.mkdtemp(prefix="tickhub-tests-")), command="pytest")
    # pytest_unconfigure is not called where the session ends on a usage error.
    atexit.register(_stop, servers)
    try:
        servers.start()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    os.environ.update(servers.environment())
    early_config.stash[_SERVERS] = servers


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop them and remove their data."""
    if _SERVERS in config.stash:
        _stop(config.stash[_SERVERS])


def _stop(servers: Servers) -> None:
    servers.stop()
    if Path(servers.folder.path).exists():
        servers.folder.delete()
