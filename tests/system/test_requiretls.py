"""REQUIRETLS and TLS-Required (RFC 8689): what was asked of us, what was said on the wire, and what was not.

MTA-STS has its own tests.
"""

import re
import smtplib
import time

import pytest

from lab import net
from lab.expect import expect_deferred, expect_delivered, expect_nothing_said_in_clear, expect_stopped
from lab.laboratory import Lab
from lab.notice import Notice
from lab.rogue_mx import RogueMx, Script
from lab.scenes import NO_TLS
from lab.sealpost import Account, Sealpost, Settings, make_message, queue_id_of, transaction
from lab.world import FreshDomain

PLAIN = Script().extensions
OFFER = {"extensions_tls": (*PLAIN, "REQUIRETLS")}
NO = {"TLS-Required": "No"}


def host(lab: Lab, kind: str, **script) -> tuple[FreshDomain, RogueMx]:
    """A fresh domain of that kind; its most preferred host alone is up."""
    domain = lab.fresh(kind)
    return domain, lab.rogue(domain.addresses[0], Script(**script), domain.hosts[0])


def send(gateway: Sealpost, user: Account, recipients: str | list[str], headers: dict | None = None, **options) -> str:
    """Submits one message with REQUIRETLS."""
    mail_options = ["REQUIRETLS", *options.pop("mail_options", ())]
    return gateway.submit(user, recipients, headers=headers, mail_options=mail_options, **options)


def mail_commands(*hosts: RogueMx) -> list[str]:
    return [command for each in hosts for session in each.sessions for command in session.commands()
            if command.upper().startswith("MAIL ")]


def is_marked(command: str) -> bool:
    return "REQUIRETLS" in command.upper().split()


def expect_marked(rogue: RogueMx, count: int = 1) -> None:
    """Each of so many MAIL commands said REQUIRETLS, and each under TLS."""
    commands = mail_commands(rogue)
    assert len(commands) == count and all(map(is_marked, commands)), rogue.transcript()
    expect_nothing_said_in_clear(rogue)


def expect_no_mail(*hosts: RogueMx) -> None:
    """Connected to, and not one MAIL was said."""
    for rogue in hosts:
        assert rogue.sessions and not mail_commands(rogue) and not rogue.messages, rogue.transcript()


def expect_unmarked(*hosts: RogueMx) -> None:
    """Mail was said, and REQUIRETLS never."""
    assert mail_commands(*hosts)
    assert not any(map(is_marked, mail_commands(*hosts)))


# What we offer and take.

def test_it_is_offered_under_tls_alone(gateway: Sealpost) -> None:
    for port in (587, 465, 2525):
        smtp = gateway.connect(port)
        smtp.ehlo()
        assert smtp.has_extn("requiretls") == (port == 465), port
        if port != 465:
            smtp.starttls(context=gateway.client_context())
            smtp.ehlo()
            assert smtp.has_extn("requiretls"), port
        smtp.close()


def test_in_clear_it_is_a_keyword_that_was_not_offered(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane", **OFFER)
    smtp = gateway.connect(2525)
    smtp.ehlo()
    code, text = smtp.mail("a@else.example", ["REQUIRETLS"])
    assert code == 555 and text.startswith(b"5.5.4 "), (code, text)
    assert smtp.rcpt(f"bob@{domain.name}")[0] == 503, "no transaction has begun"
    smtp.close()
    time.sleep(0.5)
    assert not rogue.sessions


@pytest.mark.parametrize("options", [["REQUIRETLS=yes"], ["REQUIRETLS="], ["REQUIRETLS", "REQUIRETLS"]])
def test_it_takes_no_value_and_stands_once(gateway: Sealpost, options: list[str]) -> None:
    user = gateway.add_user()
    smtp = gateway.login(user)
    code, text = smtp.mail(user.address, options)
    assert code == 501 and text.startswith(b"5.5.4 "), (code, text)
    assert smtp.mail(user.address, ["requiretls"])[0] == 250, "case does not matter"
    smtp.close()


# What is asked of the host.

def test_a_host_that_offers_it_and_matches_dane_is_told(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane", **OFFER)
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    event = expect_delivered(gateway, send(gateway, user, recipient), recipient)
    assert event["verified"] == "dane"
    expect_marked(rogue)


def test_a_secure_name_with_a_valid_certificate_will_do(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("safe")
    certificate = lab.pki.server(f"requiretls-{domain.name}", [domain.hosts[0]], lab.certificate("web-ca"))
    rogue = lab.rogue(domain.addresses[0], Script(certificate=certificate, **OFFER), domain.hosts[0])
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    event = expect_delivered(gateway, send(gateway, user, recipient), recipient)
    assert event["verified"] == "pkix"
    expect_marked(rogue)


SHORTFALLS = [
    # name, kind of domain, script, status, words
    ("insecure-name", "one", OFFER, "5.7.10", r"the name of host \S+ is not authentic"),
    ("no-dane-and-no-valid-certificate", "safe", OFFER, "5.7.10", "no matching server certificate"),
    ("not-offered", "dane", {}, "5.7.30", "no server was found that supports REQUIRETLS"),
    ("offered-in-clear-only", "dane", {"extensions": (*PLAIN, "REQUIRETLS"), "extensions_tls": PLAIN}, "5.7.30",
     "no server was found that supports REQUIRETLS"),
    ("offered-under-another-name", "dane", {"extensions_tls": (*PLAIN, "XREQUIRETLS", "REQUIRETLSX")}, "5.7.30",
     "no server was found that supports REQUIRETLS"),
    ("no-starttls", "dane", NO_TLS, "5.7.30", r"TLS service was not offered by host {host}"),
    ("no-starttls-at-an-insecure-name", "one", NO_TLS, "5.7.30", r"TLS service was not offered by host {host}"),
    ("starttls-refused", "dane", {"starttls": "502 5.5.1 what"}, "5.7.10", r"host {host}\S+ refused to start TLS"),
]


@pytest.mark.parametrize("is_guaranteed", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("kind, script, status, words", [case[1:] for case in SHORTFALLS],
                         ids=[case[0] for case in SHORTFALLS])
def test_a_host_that_falls_short_is_told_nothing(gateway: Sealpost, lab: Lab, kind: str, script: dict, status: str,
                                                words: str, is_guaranteed: bool) -> None:
    domain, rogue = host(lab, kind, **script)
    user = gateway.add_user(guarantee="on" if is_guaranteed else "")
    recipient = f"bob@{domain.name}"
    words = words.format(host=re.escape(domain.hosts[0]))
    notice = expect_stopped(gateway, user, send(gateway, user, recipient), recipient, status,
                            "^Sender requested REQUIRETLS, but " + words)
    assert "REQUIRETLS" in notice.text
    expect_no_mail(rogue)


def test_a_certificate_that_dane_does_not_know_stops_it(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane", certificate=lab.certificate("other"), **OFFER)
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    expect_stopped(gateway, user, send(gateway, user, recipient), recipient, "5.7.5", ".")
    expect_no_mail(rogue)


def test_another_host_that_offers_it_gets_the_mail(gateway: Sealpost, lab: Lab) -> None:
    domain, first = host(lab, "dane")
    second = lab.rogue(domain.addresses[1], Script(**OFFER), domain.hosts[1])
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    expect_delivered(gateway, send(gateway, user, recipient), recipient)
    expect_no_mail(first)
    expect_marked(second)


def test_no_other_message_is_marked_on_the_same_connection(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"top": {"workers": 1}, "delivery": {"concurrency_per_destination": 1}}))
    domain, rogue = host(lab, "dane", **OFFER)
    user = gateway.add_user(guarantee="on")
    for number in range(4):
        recipient = f"r{number}@{domain.name}"
        is_asked = number % 2 == 0
        queue_id = send(gateway, user, recipient) if is_asked else gateway.submit(user, recipient)
        expect_delivered(gateway, queue_id, recipient)
    assert [is_marked(command) for command in mail_commands(rogue)] == [True, False, True, False]
    assert len(rogue.sessions) == 1, "it was the same connection"


def test_a_host_that_does_not_offer_it_is_not_told_for_other_mail_either(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane")
    user, recipient = gateway.add_user(guarantee="verified"), f"bob@{domain.name}"
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    expect_unmarked(rogue)


def test_two_recipients_have_two_ends(gateway: Sealpost, lab: Lab) -> None:
    (good, yes), (bad, no) = host(lab, "dane", **OFFER), host(lab, "dane")
    user = gateway.add_user()
    pair = [f"bob@{good.name}", f"eve@{bad.name}"]
    queue_id = send(gateway, user, pair)
    notice = expect_stopped(gateway, user, queue_id, pair[1], "5.7.30", "supports REQUIRETLS")
    gateway.wait_for_disposition(queue_id, pair[0], "delivered")
    assert [fields["Final-Recipient"] for fields in notice.recipients] == [f"rfc822; {pair[1]}"]
    expect_marked(yes)
    expect_no_mail(no)


# Where it goes on.

def test_the_relay_listener_carries_it_on(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane", **OFFER)
    recipient = f"bob@{domain.name}"
    message = make_message("stranger@else.example", recipient, NO)
    smtp = gateway.connect(2525)
    smtp.starttls(context=gateway.client_context())
    queue_id = transaction(smtp, "stranger@else.example", recipient, message, ["REQUIRETLS"])
    smtp.close()
    expect_delivered(gateway, queue_id, recipient)
    expect_marked(rogue)
    assert b"\r\nTLS-Required: No\r\n" in rogue.messages[0].data, "said to mean nothing, and carried on"


@pytest.mark.parametrize("extensions", [("8BITMIME",), ("8BITMIME", "REQUIRETLS")], ids=["silent", "lists-it"])
def test_a_local_route_in_clear_is_not_told(make_gateway, lab: Lab, extensions: tuple[str, ...]) -> None:
    store = RogueMx("127.0.0.1", Script(is_lmtp=True, offers_starttls=False, extensions=extensions), port=2455)
    try:
        gateway = make_gateway(Settings(routes={"near.example": {
            "next_hop": "[127.0.0.1]:2455", "protocol": "lmtp", "tls": "none"}}))
        user = gateway.add_user(guarantee="verified")
        expect_delivered(gateway, send(gateway, user, "bob@near.example"), "bob@near.example")
        assert store.messages
        expect_unmarked(store)
    finally:
        store.stop()


@pytest.mark.parametrize("ret, is_required, want", [("RET=FULL", True, "RET=HDRS"), ("", True, "RET=HDRS"),
                                                    ("RET=FULL", False, "RET=FULL")])
def test_what_a_local_route_is_not_told_it_may_not_return(make_gateway, lab: Lab, ret: str, is_required: bool,
                                                          want: str) -> None:
    """Its own notice would bring the content back: RFC 8689 section 5."""
    store = RogueMx("127.0.0.1", Script(is_lmtp=True, offers_starttls=False, extensions=PLAIN), port=2456)
    try:
        gateway = make_gateway(Settings(routes={"near.example": {
            "next_hop": "[127.0.0.1]:2456", "protocol": "lmtp", "tls": "none"}}))
        options = [*(["REQUIRETLS"] if is_required else []), *([ret] if ret else [])]
        queue_id = gateway.submit(gateway.add_user(), "bob@near.example", mail_options=options)
        expect_delivered(gateway, queue_id, "bob@near.example")
        [command] = mail_commands(store)
        assert [word for word in command.split() if word.startswith("RET=")] == [want], command
    finally:
        store.stop()


@pytest.mark.parametrize("is_offered", [True, False], ids=["offered", "not-offered"])
def test_a_smarthost_takes_it_where_it_offers_it(make_gateway, lab: Lab, is_offered: bool) -> None:
    smart = lab.rogue(net.SMARTHOST, Script(certificate=lab.certificate("pkix"), **(OFFER if is_offered else {})))
    gateway = make_gateway(Settings(routes={"*": {
        "next_hop": "[mta.smart.example]:25", "protocol": "smtp", "tls": "may"}}))
    user, recipient = gateway.add_user(), "bob@anywhere.example"
    queue_id = send(gateway, user, recipient)
    if is_offered:
        expect_delivered(gateway, queue_id, recipient)
        expect_marked(smart)
    else:
        expect_stopped(gateway, user, queue_id, recipient, "5.7.30", "supports REQUIRETLS")
        expect_no_mail(smart)


# Notices.

def test_its_notice_is_headers_only_whatever_ret_said(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane")
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    queue_id = send(gateway, user, recipient, mail_options=["RET=FULL"])
    notice = expect_stopped(gateway, user, queue_id, recipient, "5.7.30", "supports REQUIRETLS")
    assert notice.original_type == "text/rfc822-headers"
    assert "A subject to keep private" in notice.original, "its way is local"
    assert b"The body is secret." not in notice.envelope.data
    assert notice.envelope.reverse_path.split(">")[0] == "<", "null reverse-path"
    assert not is_marked(notice.envelope.reverse_path), "the store did not offer it"
    expect_no_mail(rogue)


@pytest.mark.parametrize("way_back", [OFFER, {}, NO_TLS], ids=["offers", "does-not-offer", "clear"])
def test_across_the_network_it_is_redacted_and_not_lost(gateway: Sealpost, lab: Lab, way_back: dict) -> None:
    home, mx = host(lab, "one", **way_back)
    domain, _ = host(lab, "dane")
    user = gateway.add_user(domain=home.name)
    gateway.wait_until_held(send(gateway, user, f"bob@{domain.name}", mail_options=["RET=FULL"]))
    message = mx.wait_for_message(user.address)
    assert message.sender == "" and Notice(message).recipients[0]["Status"] == "5.7.30"
    assert b"The body is secret." not in message.data and b"keep private" not in message.data
    expect_unmarked(mx)


@pytest.mark.parametrize("kind", ["success", "failure"])
def test_every_other_notice_about_it_is_headers_only_too(gateway: Sealpost, lab: Lab, kind: str) -> None:
    rcpt = {"bob": "250 2.1.5 ok" if kind == "success" else "550 5.1.1 no such user"}
    domain, rogue = host(lab, "dane", extensions_tls=("SIZE", "REQUIRETLS"), rcpt=rcpt)
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    send(gateway, user, recipient, mail_options=["RET=FULL"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
    notice = gateway.wait_for_notice(user.address)
    assert notice.recipients[0]["Action"] == ("relayed" if kind == "success" else "failed")
    assert notice.original_type == "text/rfc822-headers"
    assert b"The body is secret." not in notice.envelope.data
    expect_marked(rogue)


def test_it_is_not_released_but_tried_again(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = host(lab, "dane")
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    queue_id = send(gateway, user, recipient)
    notice = expect_stopped(gateway, user, queue_id, recipient, "5.7.30", "supports REQUIRETLS")
    assert "It cannot be released" in notice.one_line_text()
    for option in ([], ["--force"]):
        refused = gateway.ctl("release", queue_id, *option, check=False)
        assert refused.returncode == 1 and "REQUIRETLS" in refused.stderr, refused
    assert gateway.held_entry(queue_id)
    expect_no_mail(rogue)
    rogue.script.extensions_tls = OFFER["extensions_tls"]
    gateway.ctl("release", queue_id, "--recheck")
    expect_delivered(gateway, queue_id, recipient)
    expect_marked(rogue)


# TLS-Required: No.

def other_certificate(lab: Lab, **script) -> tuple[FreshDomain, RogueMx]:
    """A host whose TLSA records do not match."""
    return host(lab, "dane", certificate=lab.certificate("other"), **script)


@pytest.mark.parametrize("flag", ["", "on", "verified"], ids=["off", "on", "verified"])
def test_no_lifts_dane_and_is_carried_on(gateway: Sealpost, lab: Lab, flag: str) -> None:
    domain, rogue = other_certificate(lab, **OFFER)
    user, recipient = gateway.add_user(guarantee=flag), f"bob@{domain.name}"
    queue_id = gateway.submit(user, recipient, headers=NO)
    event = expect_delivered(gateway, queue_id, recipient)
    assert event["tls"].startswith("TLSv1."), "TLS all the same, where it is to be had"
    assert rogue.messages[0].data.count(b"\r\nTLS-Required: No\r\n") == 1
    expect_unmarked(rogue)
    assert gateway.events("exempt", id=queue_id, exempt="tls-required-no")


def test_no_is_no_exemption_beside_requiretls(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = other_certificate(lab, **OFFER)
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    queue_id = send(gateway, user, recipient, headers=NO)
    expect_stopped(gateway, user, queue_id, recipient, "5.7.5", "no TLSA record matches")
    assert not gateway.events("exempt", id=queue_id)
    assert "tls-required-no" not in gateway.ctl("queue", "show", queue_id).stdout
    expect_no_mail(rogue)


def test_no_is_not_honoured_under_a_locked_flag(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = other_certificate(lab)
    user, recipient = gateway.add_user(guarantee="on", locked=True), f"bob@{domain.name}"
    queue_id = gateway.submit(user, recipient, headers=NO)
    expect_stopped(gateway, user, queue_id, recipient, "5.7.5", ".")
    assert not gateway.events("exempt", id=queue_id)
    expect_no_mail(rogue)


@pytest.mark.parametrize("headers", [{"TLS-Required": "No\r\nTLS-Required: No"}, {"TLS-Required": "Yes"},
                                     {"TLS-Required": ""}, {"X-TLS-Required": "No"}],
                         ids=["twice", "yes", "empty", "another-field"])
def test_what_is_not_one_field_with_no_is_ignored(gateway: Sealpost, lab: Lab, headers: dict) -> None:
    domain, rogue = other_certificate(lab)
    user, recipient = gateway.add_user(guarantee="on"), f"bob@{domain.name}"
    queue_id = gateway.submit(user, recipient, headers=headers)
    expect_stopped(gateway, user, queue_id, recipient, "5.7.5", ".")
    assert not gateway.events("exempt", id=queue_id)
    expect_no_mail(rogue)


def test_no_is_not_honoured_on_the_relay_listener(gateway: Sealpost, lab: Lab) -> None:
    """Of an authenticated user alone: with a flag it stops, without one DANE still defers."""
    domain, rogue = other_certificate(lab)
    user, recipient = gateway.add_user(guarantee="on"), f"bob@{domain.name}"
    gateway.wait_until_held(gateway.relay(user.address, recipient, make_message(user.address, recipient, NO)))
    stranger = "stranger@else.example"
    expect_deferred(gateway, gateway.relay(stranger, recipient, make_message(stranger, recipient, NO)), recipient, 1)
    expect_no_mail(rogue)


def test_requiretls_wins_over_no(gateway: Sealpost, lab: Lab) -> None:
    bad, rogue = other_certificate(lab, **OFFER)
    user, recipient = gateway.add_user(guarantee="on"), f"bob@{bad.name}"
    expect_stopped(gateway, user, send(gateway, user, recipient, NO), recipient, "5.7.5", ".")
    expect_no_mail(rogue)
    clear, plain = host(lab, "one", **NO_TLS)
    user, recipient = gateway.add_user(), f"bob@{clear.name}"
    expect_stopped(gateway, user, send(gateway, user, recipient, NO), recipient, "5.7.30", "TLS service was not offered")
    expect_no_mail(plain)
    good, rogue = host(lab, "dane", **OFFER)
    recipient = f"bob@{good.name}"
    expect_delivered(gateway, send(gateway, user, recipient, NO), recipient)
    expect_marked(rogue)
    assert rogue.messages[0].data.count(b"\r\nTLS-Required: No\r\n") == 1, "carried on unchanged"


# The answer at RCPT.

@pytest.mark.parametrize("at_rcpt", ["off", "known"])
def test_a_domain_that_nobody_knows_is_taken_at_rcpt_and_stopped_later(make_gateway, lab: Lab, at_rcpt: str) -> None:
    gateway = make_gateway(Settings(sections={"guarantee": {"at_rcpt": at_rcpt}}))
    domain, rogue = host(lab, "one", **NO_TLS)
    user, recipient = gateway.add_user(guarantee="on"), f"bob@{domain.name}"
    smtp: smtplib.SMTP = gateway.login(user)
    smtp.send(f"MAIL FROM:<{user.address}>\r\nRCPT TO:<{recipient}>\r\nRCPT TO:<eve@{domain.name}>\r\nDATA\r\n".encode())
    assert [smtp.getreply()[0] for _ in range(4)] == [250, 250, 250, 354]
    smtp.send(make_message(user.address, recipient) + b".\r\n")
    queue_id = queue_id_of(smtp.getreply()[1])
    smtp.close()
    gateway.wait_until_held(queue_id)
    expect_no_mail(rogue)
