"""Writes the exact versions of requirements.lock into [tool.uv] constraint-dependencies of pyproject.toml."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^([A-Za-z0-9._-]+(?:\[[^\]]+\])?==[^ \\;]+(?: ; [^\\]+?)?)\s*\\?$", re.MULTILINE)
_BLOCK = re.compile(r"constraint-dependencies = \[.*?^\]\n", re.DOTALL | re.MULTILINE)


def pins(lock: str) -> list[str]:
    """Return each pinned requirement of a lock file, markers included, extras left out."""
    return [re.sub(r"\[[^\]]+\]", "", pin.strip()) for pin in _PIN.findall(lock)]


def write(pyproject: str, found: list[str]) -> str:
    """Return pyproject.toml with its block of constraints replaced."""
    lines = "".join(f'    "{pin.replace(chr(34), chr(39))}",\n' for pin in found)
    return _BLOCK.sub(lambda _: f"constraint-dependencies = [\n{lines}]\n", pyproject)


if __name__ == "__main__":
    path = ROOT / "pyproject.toml"
    path.write_text(write(path.read_text(), pins((ROOT / "requirements.lock").read_text())))
