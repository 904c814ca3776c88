"""Fixtures. Every pytest process enters a private network of its own before it starts anything."""

import os
from collections.abc import Iterator

import pytest

from lab import net
from lab.laboratory import Lab, make_lab

_entered = False


def _is_runner(config: pytest.Config) -> bool:
    """True in the process that runs tests: an xdist worker, or pytest itself without xdist."""
    return hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None)


def pytest_configure(config: pytest.Config) -> None:
    global _entered
    if _is_runner(config) and not _entered:
        net.enter_private_network()
        _entered = True


@pytest.fixture(scope="session")
def world() -> Iterator[Lab]:
    lab = make_lab(os.environ.get("PYTEST_XDIST_WORKER", "main"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(world: Lab) -> Iterator[Lab]:
    """The lab; hosts that the test adds go away with it."""
    yield world
    world.drop_rogues()
