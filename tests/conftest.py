"""Fixtures for all tests. pytest puts the folder of this file on the import path, so that tests find `fakes`."""

import time

import pytest


class MadeUpTime:
    """A clock that `sleep` moves. Each reading takes a microsecond, so that no interval is zero."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def made_up_time(monkeypatch: pytest.MonkeyPatch) -> MadeUpTime:
    """Replaces `time.perf_counter` and `time.sleep`: measured times are exact, however busy the machine is."""
    made_up = MadeUpTime()
    monkeypatch.setattr(time, "perf_counter", made_up.read)
    monkeypatch.setattr(time, "sleep", made_up.sleep)
    return made_up
