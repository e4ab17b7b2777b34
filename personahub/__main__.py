"""`python -m personahub` is the command `personahub`."""

from personahub.cli import main

main()
