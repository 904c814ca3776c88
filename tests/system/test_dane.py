"""DANE (GUARANTEE.md section 5): each TLSA case, and what posttls-finger says of the same host."""

import pytest

from lab.expect import expect_deferred, expect_delivered, expect_stopped
from lab.finger import finger
from lab.laboratory import Lab
from lab.rogue_mx import Act, Script
from lab.sealpost import Sealpost
from lab.world import DANE_CASES, DaneCase


def recipient_at(user, domain: str) -> str:
    """A recipient no other test uses."""
    return f"{user.address.split('@')[0]}-dane@{domain}"


@pytest.mark.parametrize("case", DANE_CASES, ids=lambda case: case.name)
def test_the_verdict_is_the_tables_and_posttls_fingers(gateway: Sealpost, lab: Lab, case: DaneCase) -> None:
    second_opinion, text = finger(lab, case.domain)
    user = gateway.add_user(guarantee="on")
    recipient = recipient_at(user, case.domain)
    queue_id = gateway.submit(user, recipient)
    if case.want in ("verified", "matched", "encrypted", "none"):
        event = expect_delivered(gateway, queue_id, recipient)
        assert event["tls"].startswith("TLSv1.")
        # A match below an insecure MX counts as encrypted.
        assert event["verified"] == ("dane" if case.want == "verified" else "no"), event
        assert lab.postfix.wait_for_message(recipient)
        assert (second_opinion == "verified") == (event["verified"] == "dane"), text
    elif case.want == "unknown":
        gateway.wait_until_deferred(queue_id, recipient)
        gateway.ctl("queue", "remove", queue_id)
        assert second_opinion == "unknown", text
    else:
        status = "5.7.4" if case.want == "not-offered" else "5.7.5"
        expect_stopped(gateway, user, queue_id, recipient, status, "")
        assert second_opinion == case.want, text
    if case.want in ("unknown", "mismatch", "not-offered"):
        assert not lab.postfix.messages_for(recipient)


@pytest.mark.parametrize("case", [case for case in DANE_CASES if case.want in ("mismatch", "not-offered")],
                         ids=lambda case: case.name)
def test_without_the_flag_a_host_that_breaks_its_dane_gets_nothing(gateway: Sealpost, lab: Lab,
                                                                  case: DaneCase) -> None:
    user = gateway.add_user()
    recipient = recipient_at(user, case.domain)
    expect_deferred(gateway, gateway.submit(user, recipient), recipient, attempts=1)
    assert not lab.postfix.messages_for(recipient)


def test_sni_is_the_tlsa_base_domain(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("dane")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user(guarantee="verified")
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert rogue.sessions[0].server_name == domain.hosts[0]


def test_a_host_that_fails_its_dane_is_passed_over_for_one_that_does_not(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("dane")
    wrong = lab.rogue(domain.addresses[0], Script(certificate=lab.certificate("other")))
    right = lab.rogue(domain.addresses[1])
    user = gateway.add_user(guarantee="verified")
    event = expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert event["verified"] == "dane" and right.messages and not wrong.messages
    assert not any("MAIL" in session.verbs() for session in wrong.sessions)


def test_a_changed_certificate_is_seen_on_the_next_connection(gateway: Sealpost, lab: Lab) -> None:
    """No resumed session and no remembered verdict lets a wrong certificate pass."""
    domain = lab.fresh("dane")
    good = lab.rogue(domain.addresses[0])
    user = gateway.add_user(guarantee="on")
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    good.stop()
    bad = lab.rogue(domain.addresses[0], Script(certificate=lab.certificate("other")))
    lab.rogue(domain.addresses[1], Script(certificate=lab.certificate("other")))
    queue_id = gateway.submit(user, f"eve@{domain.name}")
    expect_stopped(gateway, user, queue_id, f"eve@{domain.name}", "5.7.5", "")
    assert not bad.messages


def test_a_match_counts_for_the_transaction_though_its_ttl_ends_before(gateway: Sealpost, lab: Lab) -> None:
    """The TTL is a second; the host takes longer than that for each of its steps."""
    domain = lab.fresh("dane")
    lab.dns.set(f"_25._tcp.{domain.hosts[0]}", "TLSA", lab.certificate("pool").tlsa(3, 1, 1), ttl=1)
    rogue = lab.rogue(domain.addresses[0], Script(
        ehlo_tls=Act("250-{host}\n250 8BITMIME", delay=2.5), data_end=Act("250 2.0.0 taken", delay=2.5)))
    user = gateway.add_user(guarantee="verified")
    event = expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert event["verified"] == "dane" and event["attempts"] == "1" and len(rogue.messages) == 1


def test_a_silent_tlsa_server_defers_and_uses_no_host(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = recipient_at(user, "tlsa-silent.example")
    queue_id = gateway.submit(user, recipient)
    gateway.wait_until_deferred(queue_id, recipient, seconds=30)
    gateway.ctl("queue", "remove", queue_id)
    assert not lab.postfix.messages_for(recipient)
