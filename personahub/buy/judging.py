"""Is what was bought enough? A thread asks about the windows of a purchase in their order, while the next ones are bought."""

import queue
import threading
from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame

from personahub.llm.governor import Governor

ENOUGH = "enough"  # why a governor stopped: what was bought is enough
Judge = Callable[[DataFrame], str | None]  # the requests of a window -> why what was bought by now is enough, or None


class Judging:
    """`judge` is asked about each of `windows` once it and all before it are committed; its first reason drains the governor.

    rows(window): its requests. behind: windows that are committed and not judged; after a judge that has failed or had enough, those
    that nobody will judge. Without a judge nothing happens.
    """

    def __init__(self, judge: Judge | None, windows: Sequence[int], rows: Callable[[int], DataFrame], governor: Governor) -> None:
        self.judge, self.windows, self.rows, self.governor = judge, windows, rows, governor
        self.behind = 0
        self.failure: Exception | None = None
        self.committed: queue.Queue[int | None] = queue.Queue()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="judge", daemon=True)
        if judge is not None:
            self.thread.start()

    def put(self, window: int) -> None:
        """It is committed."""
        with self.lock:
            self.behind += 1
        self.committed.put(window)

    def end(self) -> Exception | None:
        """After the last window: waits for the verdicts that can still fall, and returns what went wrong."""
        if self.judge is not None:
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
                enough = self.judge(self.rows(window))
            except Exception as error:
                self.failure = error
                self.governor.drain(f"a window could not be judged: {str(error).splitlines()[0]}", "failure")
                return
            if enough is not None and self.governor.stop is None:
                self.governor.drain(enough, ENOUGH)
                return
            with self.lock:
                self.behind -= 1
