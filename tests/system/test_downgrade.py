"""Whose fault is it? What the gateway does when its own resolver or network looks broken."""

import time

import pytest

from lab.laboratory import Lab
from lab.process import wait_until
from lab.sealpost import PATIENCE, Settings


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
