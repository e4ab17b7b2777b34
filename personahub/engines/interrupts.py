"""Ctrl-C while an engine works."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyspark.sql import SparkSession

STOP_SECONDS = 0.2  # between two tries to end what runs


@contextmanager
def interruptible(spark: SparkSession) -> Iterator[None]:
    """Ctrl-C ends the Spark jobs, and then raises KeyboardInterrupt; a second one raises it at once.

    (pyspark's own handler calls the JVM in the midst of another call, which ends in a heap of tracebacks.)
    """
    asked, over = threading.Event(), threading.Event()

    def stop() -> None:
        while not over.wait(STOP_SECONDS):  # again and again: one job may end and another one begin
            with suppress(Exception):  # the session may have ended
                spark.interruptAll()

    def on_interrupt(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        threading.Thread(target=stop, name="stop", daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    except Exception:
        if asked.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)
    if asked.is_set():
        raise KeyboardInterrupt
