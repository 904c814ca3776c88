"""Fixtures. Every pytest process enters a private network of its own before it starts anything."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from lab import net
from lab.laboratory import Lab, make_lab
from lab.sealpost import Sealpost, Settings

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
    world.drop_servers()


_numbers = itertools.count(1)
GatewayMaker = Callable[..., Sealpost]


@pytest.fixture(scope="session")
def shared_gateway(world: Lab) -> Iterator[Sealpost]:
    gateway = Sealpost(world, world.directory / "gateway", 0).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(shared_gateway: Sealpost, lab: Lab, request: pytest.FixtureRequest) -> Iterator[Sealpost]:
    """The gateway with the usual settings. It is shared: take fresh users and fresh domains."""
    _remember(request, shared_gateway)
    yield shared_gateway
    shared_gateway.assert_healthy()


@pytest.fixture
def make_gateway(lab: Lab, request: pytest.FixtureRequest) -> Iterator[GatewayMaker]:
    """Makes gateways with settings of their own, for this test alone: make_gateway(Settings(...))."""
    made: list[Sealpost] = []

    def make(settings: Settings | None = None, start: bool = True) -> Sealpost:
        number = next(_numbers)
        gateway = Sealpost(lab, lab.directory / f"gateway{number}", number, settings)
        made.append(gateway)
        _remember(request, gateway)
        return gateway.start() if start else gateway

    yield make
    for gateway in made:
        gateway.stop()


def _remember(request: pytest.FixtureRequest, gateway: Sealpost) -> None:
    gateways = getattr(request.node, "gateways", [])
    request.node.gateways = [*gateways, (gateway, len(gateway.log()))]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what its gateways logged meanwhile."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for gateway, begin in getattr(item, "gateways", []):
            report.sections.append(("sealpostd log", gateway.log()[begin:][-12000:]))
