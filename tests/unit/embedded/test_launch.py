"""What launch reads from the arguments of manage.py."""

import pytest

from tickhub import launch
from tickhub.core.errors import UsageError


def test_the_data_folder_is_found_in_both_spellings() -> None:
    assert launch.parse(["manage.py", "migrate", "--data-dir", "d", "-v", "0"]) == (
        "migrate",
        ["manage.py", "migrate", "-v", "0"],
        "d",
    )
    assert launch.parse(["manage.py", "migrate", "--data-dir=d"]) == (
        "migrate",
        ["manage.py", "migrate"],
        "d",
    )


def test_our_own_commands_see_the_data_folder_too() -> None:
    assert launch.parse(["manage.py", "poll", "--data-dir", "d"])[1] == ["manage.py", "poll", "--data-dir=d"]


@pytest.mark.parametrize("arguments", [["--data-dir"], ["--data-dir="], ["--data-dir", "--json"]])
def test_a_data_folder_without_a_name_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="--data-dir: expected a folder"):
        launch.parse(["manage.py", "poll", *arguments])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["migrate"], True),
        (["poll", "--source", "sim:"], True),
        (["poll", "--help"], False),
        (["agent"], False),
        (["makemigrations", "--check"], False),
        (["check"], False),
        (["help"], False),
        (["no_such_command"], False),
        (["../manage"], False),
    ],
)
def test_only_commands_that_use_the_database_need_servers(arguments: list[str], expected: bool) -> None:
    assert launch.needs_servers(arguments[0], ["manage.py", *arguments]) is expected
