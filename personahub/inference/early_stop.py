"""Is what was bought enough? A thread checks the windows of a purchase in their order, while the next ones are bought."""

import queue
import threading
from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame

from personahub.llm.governor import Governor

ENOUGH = "enough"  # why a governor stopped: what was bought is enough
EarlyStop = Callable[[DataFrame], str | None]  # the requests of a window -> why what was bought by now is enough, or None


class EarlyStopThread:
    """Calls `check` for each of `windows` once it and all before it are committed; the first reason drains the governor.

    rows(window): its requests. behind: windows that are committed and not checked; after a check that has failed or had enough, those
    that are never checked. Without a check nothing happens.
    """

    def __init__(
        self, check: EarlyStop | None, windows: Sequence[int], rows: Callable[[int], DataFrame], governor: Governor
    ) -> None:
        self.check, self.windows, self.rows, self.governor = check, windows, rows, governor
        self.behind = 0
        self.failure: Exception | None = None
        self.committed: queue.Queue[int | None] = queue.Queue()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="early-stop", daemon=True)
        if check is not None:
            self.thread.start()

    def put(self, window: int) -> None:
        """It is committed."""
        with self.lock:
            self.behind += 1
        self.committed.put(window)

    def end(self) -> Exception | None:
        """After the last window: waits for the checks that can still be made, and returns what went wrong."""
        if self.check is not None:
            self.committed.put(None)
            self.thread.join()
        return self.failure

    def _run(self) -> None:
        there: set[int | None] = set()
        for window in self.windows:
            while window not in there:
                there.add(self.committed.get())
                if None in there and window not in there:  # the purchase has ended without it
                    return
            try:
                enough = self.check(self.rows(window)) if self.check is not None else None
            except Exception as error:
                self.failure = error
                self.governor.drain(f"a window could not be checked: {str(error).splitlines()[0]}", "failure")
                return
            if enough is not None and self.governor.stop is None:
                self.governor.drain(enough, ENOUGH)
                return
            with self.lock:
                self.behind -= 1
