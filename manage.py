"""Runs tickhub's commands: manage.py up starts the whole system, manage.py help lists the rest."""

import sys

from tickhub import launch

if __name__ == "__main__":
    sys.exit(launch.main(sys.argv))
