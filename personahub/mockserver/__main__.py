"""`python -m personahub.mockserver --port 8000`."""

from personahub.mockserver.server import main

main()
