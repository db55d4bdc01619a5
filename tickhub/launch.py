"""Starts a command of manage.py: finds or starts the servers that it needs before Django's settings load."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from tickhub import env
from tickhub.core import clock
from tickhub.core.errors import UsageError

if TYPE_CHECKING:
    from tickhub.embedded.folder import DataFolder
    from tickhub.embedded.published import Published
    from tickhub.embedded.servers import Servers

_OWN_COMMANDS = Path(__file__).parent / "management" / "commands"
# Those of Django and its parts that talk to the database. The others, and unknown ones, start no server.
_DJANGO_COMMANDS = frozenset(
    [
        *(
            "changepassword",
            "clearsessions",
            "createcachetable",
            "createsuperuser",
            "dbshell",
            "dumpdata",
            "flush",
        ),
        *(
            "inspectdb",
            "loaddata",
            "migrate",
            "remove_stale_contenttypes",
            "runserver",
            "shell",
            "showmigrations",
        ),
        *("sqlflush", "sqlmigrate", "sqlsequencereset"),
    ]
)
_OWN_WITHOUT_DATABASE = frozenset({"agent", "fetch", "quality_report", "verify_certificate"})
# It signs with the key of the data folder.
_SIGNS = "certify"
# One kills servers: it starts its own, and never meets anybody's. The other has no use for one.
_BENCHES_WITHOUT_DATABASE = frozenset({"capture-torture", "quality"})
# They migrate themselves, or say what is not migrated.
_NOT_MIGRATED_FOR = frozenset({"up", "migrate", "showmigrations", "sqlmigrate"})
_NAMES = ("DATABASE_URL", "REDIS_URL")
_CHECKED_BY = "TICKHUB_CHECKED_BY"
_JOIN_S = 60.0
_JOIN_STEP_S = 0.05
_running: "Servers | None" = None


def running_servers() -> "Servers | None":
    """Return the servers that this process has started, None where others' are used."""
    return _running


def main(argv: list[str]) -> int:
    """Run a command of manage.py and return its exit code; a usage error is one line and exit code 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tickhub.settings")
    try:
        command, rest, data_dir = parse(argv)
        with _terminating_in_order(), _servers_for(command, argv, data_dir):
            from django.core.management import execute_from_command_line

            execute_from_command_line(rest)
    except UsageError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - before Django there is no other
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def parse(argv: list[str]) -> tuple[str, list[str], str | None]:
    """Return the command, the arguments that its own parser shall see, and the folder of ``--data-dir``.

    :raises UsageError: if ``--data-dir`` has no value
    """
    command = argv[1] if len(argv) > 1 and not argv[1].startswith("-") else ""
    data_dir = None
    rest = argv[:2]
    arguments = iter(argv[2:])
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name != "--data-dir":
            rest.append(argument)
            continue
        data_dir = value if equals else next(arguments, "")
        if not data_dir or data_dir.startswith("--"):
            raise UsageError("--data-dir: expected a folder after it")
        if _is_own(command):  # Django's own commands do not know the option
            rest.append(f"--data-dir={data_dir}")
    return command, rest, data_dir


def needs_servers(command: str, argv: list[str]) -> bool:
    """Return whether a command talks to the database; its help does not."""
    if {"-h", "--help"} & set(argv) or (command == "bench" and _BENCHES_WITHOUT_DATABASE & set(argv)):
        return False
    return command in _DJANGO_COMMANDS or (_is_own(command) and command not in _OWN_WITHOUT_DATABASE)


def _is_own(command: str) -> bool:
    return command.isidentifier() and (_OWN_COMMANDS / f"{command}.py").is_file()


@contextmanager
def _servers_for(command: str, argv: list[str], data_dir: str | None) -> Iterator[None]:
    """Set DATABASE_URL and REDIS_URL for a command that needs them, and stop what was started for it."""
    if not needs_servers(command, argv):
        yield
        return
    if data_dir is not None:
        os.environ["TICKHUB_DATA_DIR"] = str(Path(data_dir).expanduser().resolve())
    given = {name: url for name in _NAMES if (url := env.secret(name))}
    # A child of a command that has checked them meets a server that restarts, not a wrong address.
    if given and os.environ.get(_CHECKED_BY) != str(os.getppid()):
        from tickhub.embedded import reachable

        reachable.check(given)
    os.environ[_CHECKED_BY] = str(os.getpid())
    if len(given) == len(_NAMES):
        yield
        return
    if sys.platform == "win32":
        missing = ", ".join(name for name in _NAMES if name not in given)
        raise UsageError(f"{missing} is not set, and the embedded servers run on Linux and macOS only: set it")
    from tickhub.embedded.folder import DataFolder

    with _embedded(command, DataFolder(), given):
        yield


@contextmanager
def _embedded(command: str, folder: "DataFolder", given: dict[str, str]) -> Iterator[None]:
    """Use the running servers of a folder, or run them for this command's own duration."""
    from tickhub.embedded.published import Published
    from tickhub.embedded.servers import Servers

    servers = Servers(folder, command=f"manage.py {command}", given=given)
    published = Published(folder.servers_path)
    if command == "dbshell":
        from tickhub.embedded import binaries

        os.environ["PATH"] = f"{binaries.postgres_programs()}{os.pathsep}{os.environ.get('PATH', '')}"
    joined = _start_or_join(servers, published, given, may_join=command != "up")
    if command == _SIGNS:
        from tickhub import keyfiles

        os.environ.update(keyfiles.certificate_key(folder.path))
    if joined is None:
        with _own(command, servers):
            yield
        return
    os.environ.update(joined)
    try:
        yield
    finally:
        published.leave()


def _start_or_join(
    servers: "Servers", published: "Published", given: dict[str, str], *, may_join: bool
) -> dict[str, str] | None:
    """Start the servers and return None, or return the addresses of the running ones.

    :raises FolderBusy: if they run already and may not be joined, or do not answer
    """
    from tickhub.embedded import reachable
    from tickhub.embedded.locks import FolderBusy

    deadline_s = clock.monotonic_s() + _JOIN_S
    while True:
        try:
            servers.start()
        except FolderBusy:
            urls = published.join() if may_join else None
            if urls is not None:
                urls = _wanted(urls, given, servers.folder)
                with suppress(UsageError):
                    reachable.check(urls)
                    return urls
                published.leave()
            if not may_join or clock.monotonic_s() > deadline_s:
                raise
            # Its holder is starting its servers, or stopping them.
            clock.sleep(_JOIN_STEP_S)
        else:
            return None


def _wanted(urls: dict[str, str], given: dict[str, str], folder: "DataFolder") -> dict[str, str]:
    """Return those of a folder's addresses that this process is not given.

    :raises UsageError: if one is missing
    """
    for name in _NAMES:
        if name not in given and name not in urls:
            raise UsageError(
                f"the running servers of {folder.path} were started with their own {name}: set it here too"
            )
    return {name: urls[name] for name in _NAMES if name not in given}


@contextmanager
def _own(command: str, servers: "Servers") -> Iterator[None]:
    """Let the command use servers that this process has started, and stop them after it."""
    global _running
    _running = servers
    try:
        for note in servers.notes:
            print(note, file=sys.stderr)  # noqa: T201 - before Django there is no other
        os.environ.update(servers.environment())
        if command not in _NOT_MIGRATED_FOR:
            _migrate()
        servers.publish()
        yield
    finally:
        try:
            # Other commands may have joined these servers; Ctrl-C cuts the waiting short.
            servers.withdraw(wait_for_users=command != "up")
        finally:
            _ignore_signals()
            _running = None
            servers.stop()


def _migrate() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


def _signals() -> tuple[signal.Signals, ...]:
    return (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _terminating_in_order() -> Iterator[None]:
    """Make SIGTERM unwind the stack, so that servers are stopped; a command may set its own handlers."""

    def unwind(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    former = {number: signal.getsignal(number) for number in (*_signals(), signal.SIGINT)}
    for number in _signals():
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    """Let nothing interrupt the stopping, which is bounded in time."""
    for number in (*_signals(), signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
