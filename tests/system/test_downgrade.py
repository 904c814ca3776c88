"""TLS that was there and is gone, at one destination or at many; and whose fault it is."""

import re
import time

import pytest

from lab.expect import expect_delivered, expect_nothing_said_in_clear, expect_stopped, not_offered
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import RogueMx, Script
from lab.scenes import NO_TLS
from lab.sealpost import PATIENCE, Sealpost, Settings
from lab.world import FreshDomain


def test_a_resolver_that_validates_is_not_complained_of(make_gateway) -> None:
    gateway = make_gateway()
    time.sleep(1)
    assert not gateway.events("resolver"), gateway.log()


@pytest.mark.parametrize("key, name, state", [
    ("self_test_signed", "tls.example", "failing"), ("self_test_unsigned", "tls-signed.example", "failing"),
    ("self_test_bogus", "tls-signed.example", "failing"), ("self_test_bogus", "tls.example", "failing"),
    ("self_test_signed", "mx-bogus.example", "failing"), ("self_test_signed", "missing.org", "unknown"),
    ("self_test_signed", "mx-servfail.example", "unknown"),
])
def test_a_resolver_that_takes_one_name_for_another_is(make_gateway, key: str, name: str, state: str) -> None:
    gateway = make_gateway(Settings({"dns": {key: name}}))
    event = wait_until(lambda: gateway.events("resolver"), 5, "the resolver's event")[0]
    assert event["domain"] == name and event["state"] == state and "self-test" in event["reason"], event
    assert len(gateway.events("resolver")) == 1


def test_while_signed_names_look_bogus_no_failed_look_up_is_the_destinations_fault(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings({"dns": {"self_test_signed": "mx-bogus.example"}}))
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, "bob-downgrade@tlsa-bogus.example")
    found = gateway.wait_until_deferred(queue_id, "bob-downgrade@tlsa-bogus.example")
    assert gateway.dispositions(queue_id)[0]["status"].startswith("4.3."), found
    time.sleep(PATIENCE + 2)
    assert gateway.held_entry(queue_id) is None, "it is no trouble of the destination's, and patience does not run"
    assert gateway.wait_until_deferred(queue_id, "bob-downgrade@tlsa-bogus.example", attempts=3)


def test_a_self_test_without_names_is_switched_off(make_gateway) -> None:
    gateway = make_gateway(Settings({"dns": {f"self_test_{kind}": "" for kind in ("signed", "unsigned", "bogus")}}))
    time.sleep(0.5)
    assert not gateway.events("resolver"), gateway.log()


LOOKS = (0, 3, 7)  # hours: TLS is remembered after three looks, the first and the last six hours apart
LIVES_ON = {"retry": {"first": "1s", "max": "2s", "lifetime": "90d", "warn_after": "80d"}}


def clocked(make_gateway, **delivery: object) -> Sealpost:
    return make_gateway(Settings({**LIVES_ON, "delivery": {"connect_timeout": "3s", **delivery}}, has_own_clock=True))


def look_at(gateway: Sealpost, recipients: list[str], hours: tuple[float, ...] = LOOKS) -> None:
    """Mails to them at these hours."""
    user = gateway.add_user()
    for hour in hours:
        gateway.set_clock(hour)
        queue_id = gateway.submit(user, recipients)
        gateway.wait_until_gone(queue_id)
        assert len([event for event in gateway.dispositions(queue_id) if event["disposition"] == "delivered"]) \
            == len(recipients), gateway.dispositions(queue_id)


def known_domain(gateway: Sealpost, lab: Lab, hours: tuple[float, ...] = LOOKS) -> tuple[FreshDomain, RogueMx]:
    """A domain that had TLS at these hours and has none now."""
    domain = lab.fresh("one")
    host = lab.rogue(domain.addresses[0], host=domain.hosts[0])
    look_at(gateway, [f"known@{domain.name}"], hours)
    host.stop()
    return domain, lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])


def test_a_host_that_had_tls_and_has_none_is_another_event(make_gateway, lab: Lab) -> None:
    gateway = clocked(make_gateway)
    domain, host = known_domain(gateway, lab)
    user = gateway.add_user(guarantee="on")
    words = (not_offered(domain.hosts[0], domain.addresses[0])[:-1]
             + r"; on \d earlier looks it offered TLS, last on \d{4}-\d\d-\d\d$")
    for name in ("bob", "eve"):
        queue_id = gateway.submit(user, f"{name}@{domain.name}")
        gateway.wait_until_held(queue_id)
        held = gateway.held_entry(queue_id)["recipients"][0]
        assert held["status"] == "5.7.4" and re.search(words, held["reason"]), held
    notice = gateway.wait_for_notice(user.address)
    assert "earlier looks it offered TLS" in notice.one_line_text()
    events = gateway.events("downgrade")
    assert len(events) == 1 and events[0]["domain"] == domain.name, events
    assert events[0]["relay"].startswith(domain.hosts[0]) and "TLS was there on" in events[0]["reason"]
    expect_nothing_said_in_clear(host)


@pytest.mark.parametrize("hours", [(0, 7), (0, 3, 5)], ids=["two-looks", "five-hours"])
def test_few_looks_are_not_remembered(make_gateway, lab: Lab, hours: tuple[float, ...]) -> None:
    gateway = clocked(make_gateway, remember_tls="7d")
    domain, host = known_domain(gateway, lab, hours)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_stopped(gateway, user, queue_id, f"bob@{domain.name}", "5.7.4",
                   not_offered(domain.hosts[0], domain.addresses[0]))
    assert not gateway.events("downgrade")
    plain = gateway.add_user()
    expect_delivered(gateway, gateway.submit(plain, f"eve@{domain.name}"), f"eve@{domain.name}")
    assert len(host.messages) == 1


def test_without_the_guarantee_mail_goes_in_clear_unless_tls_is_remembered(make_gateway, lab: Lab) -> None:
    gateway = clocked(make_gateway)
    domain, host = known_domain(gateway, lab)
    user = gateway.add_user()
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert host.messages and gateway.events("downgrade")


def test_remembered_tls_defers_for_as_long_as_it_is_remembered(make_gateway, lab: Lab) -> None:
    gateway = clocked(make_gateway, remember_tls="7d")
    domain, host = known_domain(gateway, lab)
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    found = gateway.wait_until_deferred(queue_id, f"bob@{domain.name}", attempts=2)
    assert "TLS is expected, but was not offered by host" in found["reason"], found
    expect_nothing_said_in_clear(host)
    lifted = gateway.submit(user, f"eve@{domain.name}", headers={"TLS-Required": "No"})
    expect_delivered(gateway, lifted, f"eve@{domain.name}")
    assert [message.addresses for message in host.messages] == [[f"eve@{domain.name}"]]
    gateway.set_clock(LOOKS[-1] + 7 * 24 + 1)
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")


# Many at once: the fault is ours.

def by_disposition(gateway: Sealpost, queue_id: str, disposition: str) -> set[str]:
    return {event["to"] for event in gateway.dispositions(queue_id) if event["disposition"] == disposition}


def test_when_many_lose_tls_at_once_stops_are_suspended(make_gateway, lab: Lab) -> None:
    gateway = clocked(make_gateway)
    crowd = lab.crowd()
    look_at(gateway, crowd.recipients("known"))
    gateway.set_clock(LOOKS[-1] + 1)  # when all was well is longer ago than what counts together
    crowd.set_tls(False)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, crowd.recipients())
    event = wait_until(lambda: gateway.events("breaker"), 10, "the breaker")[0]
    assert event["state"] == "open" and "unrelated destinations lost TLS" in event["reason"], event
    wait_until(lambda: len(by_disposition(gateway, queue_id, "held") | by_disposition(gateway, queue_id, "deferred"))
               == len(crowd.domains), 15, "every recipient's first attempt")
    time.sleep(3)  # and further ones
    held = by_disposition(gateway, queue_id, "held")
    assert len(held) < len(crowd.domains) / 3, held
    waiting = [event for event in gateway.dispositions(queue_id) if event["disposition"] == "deferred"]
    assert all(event["status"].startswith("4.3.") for event in waiting), waiting
    expect_nothing_said_in_clear(*crowd.hosts)
    crowd.set_tls(True)
    wait_until(lambda: gateway.events("breaker", state="closed"), 15, "the breaker to close")
    wait_until(lambda: len(by_disposition(gateway, queue_id, "delivered")) == len(crowd.domains) - len(held), 15,
               "what was suspended to be delivered")
    assert by_disposition(gateway, queue_id, "held") == held
    expect_nothing_said_in_clear(*crowd.hosts)


def test_when_few_of_many_lose_tls_they_are_stopped(make_gateway, lab: Lab) -> None:
    gateway = clocked(make_gateway)
    crowd = lab.crowd()
    look_at(gateway, crowd.recipients("known"))
    crowd.set_tls(False, [1, 2, 3])
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, crowd.recipients())
    wait_until(lambda: len(by_disposition(gateway, queue_id, "delivered")) == len(crowd.domains) - 3, 15, "the others")
    gateway.wait_until_held(queue_id)
    wait_until(lambda: len(by_disposition(gateway, queue_id, "held")) == 3, 10, "the stops")
    assert not gateway.events("breaker") and len(gateway.events("downgrade")) == 3
    expect_nothing_said_in_clear(*crowd.hosts)


def test_when_no_unknown_destination_shows_tls_stops_are_suspended_too(make_gateway, lab: Lab) -> None:
    """Somebody who inspects SMTP has it stripped for all, from the first day."""
    gateway = clocked(make_gateway)
    crowd = lab.crowd()
    crowd.set_tls(False)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, crowd.recipients())
    event = wait_until(lambda: gateway.events("breaker"), 10, "the breaker")[0]
    assert event["state"] == "open" and "showed TLS" in event["reason"], event
    expect_nothing_said_in_clear(*crowd.hosts)
    crowd.set_tls(True)
    wait_until(lambda: gateway.events("breaker", state="closed"), 15, "the breaker to close")
    wait_until(lambda: len(by_disposition(gateway, queue_id, "delivered") | by_disposition(gateway, queue_id, "held"))
               == len(crowd.domains), 15, "an end for all")


def test_when_every_signed_zone_turns_bogus_the_operator_is_told(make_gateway, lab: Lab) -> None:
    gateway = clocked(make_gateway)
    crowd = lab.crowd()
    look_at(gateway, crowd.recipients("known"))
    gateway.set_clock(LOOKS[-1] + 1)
    crowd.set_bogus(True)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, crowd.recipients())
    event = wait_until(lambda: gateway.events("breaker"), 15, "the breaker")[0]
    assert event["state"] == "open" and "signed zones were bogus" in event["reason"], event
    assert gateway.held_entry(queue_id) is None
    crowd.set_bogus(False)
    wait_until(lambda: gateway.events("breaker", state="closed"), 20, "the breaker to close")
    wait_until(lambda: len(by_disposition(gateway, queue_id, "delivered")) == len(crowd.domains), 20, "all")
