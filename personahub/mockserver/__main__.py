"""A simulated endpoint as the child process of `mockserver.start`."""

from personahub.mockserver.server import main

main()
