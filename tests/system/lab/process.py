"""Child processes and deadlines."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

UNDER_VALGRIND = bool(os.environ.get("SEALPOST_VALGRIND"))
_PATIENCE = 8 if UNDER_VALGRIND else 1  # how much longer everything may take


def wait_until(claim: Callable[[], T], seconds: float, what: str) -> T:
    """Asks again and again until the claim is true (its value is returned) or the time is over."""
    seconds *= _PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still waiting for {what}; last seen: {value!r}")
        time.sleep(0.03)


class Daemon:
    """A server of the lab in the foreground, its output in a file."""

    def __init__(self, argv: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output, env=env, start_new_session=True)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, seconds: float = 10) -> int:
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds * _PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode
