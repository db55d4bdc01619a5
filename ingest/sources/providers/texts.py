"""Finds a provider's text files: ``.csv``, or ``.zip`` archives of them as they are handed out."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest import heartbeat
from ingest.sources import archives
from ingest.sources.providers import loaded, repeats
from ingest.sources.providers.loaded import Loaded, Piece, Unreadable
from ingest.sources.spec import ProviderSpec
from tickhub.core.errors import UsageError

# Reads one text: its bytes, its own name (inside an archive), the file that it came from.
Read = Callable[[bytes, str, Path], Piece]


def load(spec: ProviderSpec, read: Read) -> Loaded:
    """Read the files of a folder and all below it, or one file, and say what was left out.

    :raises UsageError: if there is none, the one file cannot be used, or two hold different ticks of the same time
    """
    if not spec.path.exists():
        raise UsageError(f"source {spec.text}: {spec.path}: no such file or folder")
    is_folder = spec.path.is_dir()
    found = Loaded()
    for path in sorted(spec.path.rglob("*")) if is_folder else [spec.path]:
        if not path.is_dir():
            _add(found, path, read, spec)
    try:
        repeats.leave_out(found)
    except repeats.Overlap as error:
        raise UsageError(f"source {spec.text}: {error}") from error
    if not any(len(piece.ticks) for piece in found.pieces):
        if not is_folder and found.left_out:
            raise UsageError(f"source {spec.text}: {found.left_out[0]}")
        of = f" of {spec.symbol}" if spec.symbol else ""
        reason = f"; {found.left_out[0]}" if found.left_out else ""
        raise UsageError(f"source {spec.text}: {spec.path}: holds no tick file{of} of {spec.scheme}{reason}")
    return found


def _add(found: Loaded, path: Path, read: Read, spec: ProviderSpec) -> None:
    """Read one file."""
    try:
        for name, raw in _texts(path):
            piece = read(raw, name, path)
            if loaded.is_wanted(piece.symbol, spec.symbol):
                found.pieces.append(piece)
    except Unreadable as error:
        found.left_out.append(f"{path}: {error}")
    except archives.DAMAGED as error:
        found.left_out.append(f"{path}: is damaged, or an archive that cannot be opened: {error}")
    except OSError as error:
        found.left_out.append(f"{path}: cannot be read: {error.strerror or error}")


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each text of a file.

    :raises Unreadable: if it is neither a text nor an archive of some
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        heartbeat.beat_before_loading(path.stat().st_size)
        yield path.name, path.read_bytes()
    elif suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if not names:
                raise Unreadable("holds no .csv")
            for name in names:
                heartbeat.beat_before_loading(archive.getinfo(name).file_size)
                yield Path(name).name, archive.read(name)
    else:
        raise Unreadable("is no .csv and no .zip")
