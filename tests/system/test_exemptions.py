"""What lifts the flag (GUARANTEE.md section 1), and what only looks as if it did."""

from dataclasses import dataclass

import pytest

from lab.expect import expect_delivered, expect_nothing_said_in_clear
from lab.laboratory import Lab
from lab.scenes import clear_domain, expect_plain_stop
from lab.sealpost import Sealpost, Settings, make_message


# Section 1: exemptions.

AUTO_REPLIES = [
    {"Auto-Submitted": "auto-replied"},
    {"auto-submitted": "  (a (nested) comment) Auto-Replied ; owner-email=\"x@y\""},
    {"Auto-Submitted": "\r\n auto-replied\r\n (vacation)"},
    {"X-Autoreply": "yes"},
    {"X-Autorespond": "away"},
    {"Precedence": "auto_reply"},
]


@pytest.mark.parametrize("headers", AUTO_REPLIES, ids=range(len(AUTO_REPLIES)))
@pytest.mark.parametrize("way", ["submission", "relay"])
def test_an_automatic_reply_is_exempt(gateway: Sealpost, lab: Lab, headers: dict, way: str) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    message = make_message(user.address, recipient, headers)
    if way == "relay":
        queue_id = gateway.relay(user.address, recipient, message)
    else:
        queue_id = gateway.submit(user, recipient, message)
    expect_delivered(gateway, queue_id, recipient)
    assert rogue.messages[0].tls is None
    assert [event for event in gateway.events(id=queue_id) if event.get("exempt")], "each use is logged"


NOT_AUTO_REPLIES = [
    {"Auto-Submitted": "auto-generated"},
    {"Auto-Submitted": "no"},
    {"Auto-Submitted": "auto-replied-not"},
    {"Auto-Submitted": "(auto-replied) no"},
    {"Auto-Submitted": "auto-replied\r\nAuto-Submitted: auto-replied"},
    {"Precedence": "list"},
    {"Precedence": "bulk"},
    {"X-Note": "x\r\n\r\nAuto-Submitted: auto-replied"},  # in the body
]


@pytest.mark.parametrize("headers", NOT_AUTO_REPLIES, ids=range(len(NOT_AUTO_REPLIES)))
def test_what_only_looks_like_an_automatic_reply_is_not_exempt(gateway: Sealpost, lab: Lab, headers: dict) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    queue_id = gateway.submit(user, recipient, make_message(user.address, recipient, headers))
    expect_plain_stop(gateway, user, queue_id, domain)
    expect_nothing_said_in_clear(rogue)


@pytest.mark.parametrize("headers", [{"Auto-Submitted": "auto-replied"}, {"TLS-Required": "No"}],
                         ids=["auto-reply", "tls-required-no"])
def test_a_locked_flag_honours_no_header_of_a_client(gateway: Sealpost, lab: Lab, headers: dict) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on", locked=True)
    recipient = f"bob@{domain.name}"
    queue_id = gateway.submit(user, recipient, make_message(user.address, recipient, headers))
    expect_plain_stop(gateway, user, queue_id, domain)
    expect_nothing_said_in_clear(rogue)


def test_automatic_replies_are_exempt_only_where_the_configuration_says_so(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"guarantee": {"exempt_auto_replies": False}}))
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    message = make_message(user.address, recipient, {"Auto-Submitted": "auto-replied"})
    expect_plain_stop(gateway, user, gateway.submit(user, recipient, message), domain)
    expect_nothing_said_in_clear(rogue)


def test_an_exemption_lifts_no_policy(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(policies={".one.example": "encrypt"}))
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    for headers in ({"Auto-Submitted": "auto-replied"}, {"TLS-Required": "No"}):
        message = make_message(user.address, recipient, headers)
        gateway.wait_until_held(gateway.submit(user, recipient, message))
    expect_nothing_said_in_clear(rogue)


@dataclass(frozen=True)
class Forward:
    """Mail from the store to bob@DOMAIN; {owner}, {target} are filled in."""

    name: str
    headers: dict
    is_exempt: bool
    configured: str = "{target}"
    from_: str = "stranger@else.example"
    sender: str = "stranger@else.example"


FORWARDS = [
    Forward("by-sieve", {"X-Sieve-Redirected-From": "{owner}"}, True),
    Forward("resent", {"Resent-From": "{owner}"}, True),
    Forward("delivered-to", {"Delivered-To": "{owner}"}, True),
    Forward("original-to", {"X-Original-To": "{owner}"}, True),
    Forward("with-the-owner-as-reverse-path", {"X-Sieve-Redirected-From": "{owner}"}, True, sender="{owner}"),
    Forward("to-a-target-nobody-configured", {"Delivered-To": "{owner}"}, False, configured="else@x.example"),
    Forward("without-a-header", {}, False, sender="{owner}"),
    Forward("written-by-the-owner", {"Delivered-To": "{owner}"}, False, from_="{owner}"),
    Forward("with-several-authors", {"Delivered-To": "{owner}"}, False, from_="a@else.example, b@else.example"),
]


@pytest.mark.parametrize("case", FORWARDS, ids=lambda case: case.name)
def test_a_configured_forward_is_exempt(gateway: Sealpost, lab: Lab, case: Forward) -> None:
    domain, rogue = clear_domain(lab)
    owner = gateway.add_user(guarantee="on")
    values = {"owner": owner.address, "target": f"bob@{domain.name}"}
    gateway.ctl("forward", "add", owner.address, case.configured.format(**values))
    headers = {name: text.format(**values) for name, text in case.headers.items()}
    message = make_message(case.from_.format(**values), owner.address, headers)
    queue_id = gateway.relay(case.sender.format(**values), values["target"], message)
    if case.is_exempt:
        expect_delivered(gateway, queue_id, values["target"])
        assert rogue.messages
    else:
        gateway.wait_until_held(queue_id)
        expect_nothing_said_in_clear(rogue)


def test_only_the_topmost_forwarding_header_counts_and_the_strictest_user_binds(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    strict, free = gateway.add_user(guarantee="on"), gateway.add_user()
    target = f"bob@{domain.name}"
    gateway.ctl("forward", "add", free.address, target)
    message = make_message("stranger@else.example", free.address,
                           {"X-Sieve-Redirected-From": free.address, "Delivered-To": strict.address})
    queue_id = gateway.relay("stranger@else.example", target, message)
    assert gateway.wait_until_held(queue_id)["user"] == strict.address
    lower = make_message("stranger@else.example", free.address,
                         {"Delivered-To": f"{free.address}\r\nDelivered-To: {strict.address}"})
    expect_delivered(gateway, gateway.relay("stranger@else.example", f"eve@{domain.name}", lower),
                     f"eve@{domain.name}")
    assert len(rogue.messages) == 1


def test_a_forward_is_no_exemption_on_the_submission_port(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    owner = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    gateway.ctl("forward", "add", owner.address, recipient)
    message = make_message(owner.address, recipient, {"Delivered-To": owner.address})
    expect_plain_stop(gateway, owner, gateway.submit(owner, recipient, message), domain)
    expect_nothing_said_in_clear(rogue)


def test_tls_required_no_is_the_senders_override_and_is_carried_on(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    message = make_message(user.address, recipient, {"TLS-Required": "No"})
    expect_delivered(gateway, gateway.submit(user, recipient, message), recipient)
    assert rogue.messages[0].tls is None and b"TLS-Required: No" in rogue.messages[0].data


def test_tls_required_no_lifts_dane_too(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = f"{user.address.split('@')[0]}-override@ee-mismatch.example"
    message = make_message(user.address, recipient, {"TLS-Required": "No"})
    expect_delivered(gateway, gateway.submit(user, recipient, message), recipient)
    assert lab.postfix.wait_for_message(recipient)


@pytest.mark.parametrize("headers, way", [
    ({"TLS-Required": "No\r\nTLS-Required: No"}, "submission"),
    ({"TLS-Required": "Yes"}, "submission"),
    ({"TLS-Required": "No thanks"}, "submission"),
    ({"TLS-Required": "No"}, "relay"),
])
def test_what_is_no_override(gateway: Sealpost, lab: Lab, headers: dict, way: str) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    message = make_message(user.address, recipient, headers)
    send = gateway.relay if way == "relay" else gateway.submit
    queue_id = send(user.address if way == "relay" else user, recipient, message)
    expect_plain_stop(gateway, user, queue_id, domain)
    expect_nothing_said_in_clear(rogue)
