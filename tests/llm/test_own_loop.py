import asyncio
import threading

import pytest

from personahub.llm import own_loop


async def name_of_thread():
    await asyncio.sleep(0)
    return threading.current_thread().name


async def fails():
    raise ValueError("of the coroutine")


def test_a_coroutine_runs_here_where_no_loop_is_running():
    assert own_loop.run(name_of_thread()) == threading.current_thread().name


def test_a_coroutine_runs_in_a_thread_of_its_own_where_a_loop_is_running():
    async def notebook():
        with pytest.raises(ValueError, match="of the coroutine"):
            own_loop.run(fails())
        return own_loop.run(name_of_thread())

    assert asyncio.run(notebook()) != threading.current_thread().name
