"""``python -m maestro_daemon.cli``."""

from maestro_daemon.cli import main

main()
