import signal
import subprocess
import sys

import pytest

from personahub.inference.purchase import _drain_on_interrupt
from personahub.llm.governor import Governor
from personahub.llm.types import EndpointLimits, Limits
from personahub.storage.hub import Silent


def test_a_second_ctrl_c_ends_no_process_but_the_runs_own(capsys):
    before, governor = signal.getsignal(signal.SIGINT), Governor(Limits((EndpointLimits(1),)), total=1)
    with _drain_on_interrupt(governor, Silent()):  # as in a notebook
        signal.raise_signal(signal.SIGINT)
        assert governor.stop_kind == "drain"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert "Ctrl-C again leaves at once" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    code = "from personahub.render.terminal import TerminalUI; TerminalUI().leave()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 130
