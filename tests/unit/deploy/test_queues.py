"""Every queue that a task is sent to has a process that works on it, and telling people has one of its own."""

from pathlib import Path

import yaml
from django.conf import settings

from tickhub import schedule
from tickhub.supervisor import plan as plans
from tickhub.supervisor.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
WORKED_ON = {"worker": {"batches", "keeping"}, "notifier": {"notices"}}


def queues(command: list[str]) -> set[str]:
    return {name for word in command if word.startswith("--queues=") for name in word.partition("=")[2].split(",")}


def test_tasks_are_sent_to_queues_that_are_worked_on() -> None:
    routed = {str(route["queue"]) for route in settings.CELERY_TASK_ROUTES.values()}
    scheduled = {schedule.QUEUES.get(task, "keeping") for task, _ in schedule.TASKS}

    assert routed == set.union(*WORKED_ON.values())
    assert scheduled == {"keeping", "notices"}
    assert schedule.QUEUES["quality.notify"] == settings.CELERY_TASK_ROUTES["quality.notify"]["queue"] == "notices"


def test_up_starts_a_process_for_every_queue() -> None:
    plan = Plan(
        sources=(),
        http=("127.0.0.1", 8000),
        bridge=None,
        workers=2,
        logs=ROOT,
        environment={},
        for_s=None,
        until_drained=False,
        origin_msc=0,
    )

    services, _ = plans.children(plan)

    assert {child.name: queues(child.argv) for child in services if queues(child.argv)} == WORKED_ON


def test_the_compose_file_starts_a_process_for_every_queue() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    commands = {name: value.get("command", []) for name, value in services.items()}

    assert {name: queues(command) for name, command in commands.items() if queues(command)} == WORKED_ON


def test_of_the_workers_only_the_one_that_tells_people_has_a_way_out() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert (services["worker"]["networks"], services["notifier"]["networks"]) == (["inner"], ["inner", "outer"])
