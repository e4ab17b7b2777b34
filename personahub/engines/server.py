"""The process of the embedded engine: it prints its port, serves until its standard input ends, and leaves at once.

The other end of that pipe is held by the process that started it: however that one ends, `kill -9` included, this one does, too.
"""

import os
import signal


def main() -> None:
    """Run by `embedded.open_session` in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    os.write(1, f"{server.listening_address[1]}\n".encode())
    while os.read(0, 1):
        pass
    os._exit(0)  # not sys.exit: no client waits for what is still running
