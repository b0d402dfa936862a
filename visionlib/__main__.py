"""`python -m visionlib` is `visionlib`."""

from visionlib.cli.app import main

main()
