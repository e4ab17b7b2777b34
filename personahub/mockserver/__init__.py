"""The simulated endpoint: a real OpenAI-compatible server on loopback, which counts what it sells. No other room imports it but the
command line, the demo and tests.
"""

from personahub.mockserver.server import Running, serve, start
from personahub.mockserver.settings import Settings

__all__ = ["Running", "Settings", "serve", "start"]
