"""Ctrl-C to a process, and whether anything of it is left."""

import signal
import subprocess

import psutil

ENDING_SECONDS = 60


def interrupt(process: subprocess.Popen, gone_seconds: float) -> None:
    """The process ends with 130, and its children are gone within `gone_seconds` after it."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=ENDING_SECONDS)
    assert process.returncode == 130, errors
    _, alive = psutil.wait_procs(children, timeout=gone_seconds)
    assert not alive
