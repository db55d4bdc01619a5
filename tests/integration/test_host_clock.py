"""The host's clock: what the kernel says of it, and how far PostgreSQL's is."""

import subprocess

import pytest

from quality.models import Incident
from tickhub import hostclock
from tickhub.hostclock import Difference, KernelClock

pytestmark = pytest.mark.usefixtures("database")


def test_kernel_is_asked_as_its_header_describes() -> None:
    found = hostclock.of_kernel()

    assert found is not None
    assert 0 <= found.error_us <= 1_000_000_000
    assert 0 <= found.estimated_error_us <= 1_000_000_000


def test_size_of_what_the_kernel_fills_is_not_more_than_what_is_given(tmp_path: object) -> None:
    compiler = subprocess.run(["which", "cc"], capture_output=True, check=False)
    if compiler.returncode:
        pytest.skip("no C compiler to ask")
    program = '#include <sys/timex.h>\n#include <stdio.h>\n#include <stddef.h>\nint main(){printf("%zu %zu %zu",'
    program += "sizeof(struct timex),offsetof(struct timex,status),offsetof(struct timex,maxerror));}"
    subprocess.run(["cc", "-x", "c", "-", "-o", f"{tmp_path}/size"], input=program.encode(), check=True)
    size, status, maxerror = map(int, subprocess.check_output([f"{tmp_path}/size"]).split())

    assert size <= hostclock._Timex.rest.offset + hostclock._Timex.rest.size
    assert (status, maxerror) == (hostclock._Timex.status.offset, hostclock._Timex.maxerror.offset)


def test_database_on_this_machine_has_the_same_clock() -> None:
    found = hostclock.of_database()

    assert abs(found.difference_ms) <= found.within_ms + 1


def test_clock_that_nobody_keeps_is_a_warning_until_somebody_does() -> None:
    right = Difference(0.1, 0.5)
    for _ in range(2):
        hostclock.judge(kernel=KernelClock(False, 16_000_000, 16_000_000), database=right)
    opened = Incident.objects.get()

    hostclock.judge(kernel=KernelClock(True, 900, 100), database=right)

    assert (opened.cause, opened.severity, opened.state) == ("HOST_CLOCK_UNSYNCED", "WARNING", "OPEN")
    assert Incident.objects.get().state == "RESOLVED"


@pytest.mark.parametrize(
    ("difference", "states"),
    [
        (Difference(-501.5, 1.0), ["OPEN"]),
        (Difference(501.5, 1.0), ["OPEN"]),
        (Difference(500.5, 1.0), []),
        (Difference(700.0, 250.0), []),
    ],
)
def test_difference_beyond_the_setting_and_the_round_trip_is_a_warning(
    difference: Difference, states: list[str]
) -> None:
    hostclock.judge(kernel=None, database=difference)

    found = Incident.objects.filter(cause="HOST_CLOCK_OFF", severity="WARNING")
    assert list(found.values_list("state", flat=True)) == states


def test_watching_measures_this_host() -> None:
    hostclock.watch()

    assert Incident.objects.exclude(cause="HOST_CLOCK_UNSYNCED").count() == 0
