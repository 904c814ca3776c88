"""A stop, its notice, and what becomes of the held message (GUARANTEE.md section 4)."""

import re
import time
from email.utils import parsedate_to_datetime

import pytest

from lab.expect import expect_delivered, expect_nothing_said_in_clear, expect_stopped, not_offered
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import SILENCE, Script
from lab.scenes import clear_domain, stop_one
from lab.sealpost import Sealpost, Settings, make_message
from test_downgrade import LIVES_ON, clocked, known_domain, look_at


# Release, recheck, force, drop.

def test_release_sends_without_the_guarantee(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue, _, queue_id = stop_one(gateway, lab)
    gateway.ctl("release", queue_id)
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert rogue.messages[0].tls is None and b"The body is secret." in rogue.messages[0].data


def test_release_takes_only_the_recipients_named(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue, _, queue_id = stop_one(gateway, lab, ("bob", "eve"))
    gateway.ctl("release", queue_id, f"bob@{domain.name}")
    gateway.wait_for_disposition(queue_id, f"bob@{domain.name}", "delivered")
    entry = gateway.held_entry(queue_id)
    assert entry and [r["address"] for r in entry["recipients"]] == [f"eve@{domain.name}"]
    assert rogue.messages[0].addresses == [f"bob@{domain.name}"]


def test_recheck_tries_again_under_the_guarantee(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue, user, queue_id = stop_one(gateway, lab)
    gateway.ctl("release", queue_id, "--recheck")
    notice = gateway.wait_for_notice(user.address, count=2)
    assert notice.recipient(f"bob@{domain.name}")["Status"] == "5.7.4"
    expect_nothing_said_in_clear(rogue)
    rogue.stop()
    better = lab.rogue(domain.addresses[0], Script())
    gateway.wait_until_held(queue_id)
    gateway.ctl("release", queue_id, "--recheck")
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert better.messages[0].tls


def test_release_against_the_destinations_dane_needs_force(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = f"{user.address.split('@')[0]}-force@ee-mismatch.example"
    queue_id = gateway.submit(user, recipient)
    gateway.wait_until_held(queue_id)
    refused = gateway.ctl("release", queue_id, check=False)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    gateway.ctl("release", queue_id, "--force")
    expect_delivered(gateway, queue_id, recipient)
    assert b"TLS-Required" not in lab.postfix.wait_for_message(recipient).data


def test_release_is_refused_where_policy_is_the_cause(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(policies={".one.example": "encrypt"}))
    _, rogue, _, queue_id = stop_one(gateway, lab)
    for option in ([], ["--force"]):
        assert gateway.ctl("release", queue_id, *option, check=False).returncode == 1
    assert gateway.held_entry(queue_id)
    expect_nothing_said_in_clear(rogue)


def test_drop_ends_a_held_message_without_a_word(gateway: Sealpost, lab: Lab) -> None:
    _, rogue, user, queue_id = stop_one(gateway, lab)
    gateway.wait_for_notice(user.address)
    gateway.ctl("held", "drop", queue_id)
    assert gateway.held_entry(queue_id) is None
    assert gateway.ctl("release", queue_id, check=False).returncode == 1
    time.sleep(1)
    assert len(gateway.notices_to(user.address)) == 1
    expect_nothing_said_in_clear(rogue)


def test_a_held_message_expires_without_a_further_notice(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"guarantee": {"hold_for": "3s"}}))
    _, _, user, queue_id = stop_one(gateway, lab)
    gateway.wait_for_notice(user.address)
    begin = len(gateway.notices_to(user.address))
    time.sleep(5)
    assert gateway.held_entry(queue_id) is None
    assert len(gateway.notices_to(user.address)) == begin == 1


def test_on_stop_discard_leaves_the_notice_alone(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"guarantee": {"on_stop": "discard"}}))
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    fields = gateway.wait_for_notice(user.address).recipient(f"bob@{domain.name}")
    assert fields["Status"] == "5.7.4" and "X-Sealpost-Held-ID" not in fields
    assert gateway.held_entry(queue_id) is None
    expect_nothing_said_in_clear(rogue)


def test_on_stop_discard_still_holds_what_gets_no_notice(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"guarantee": {"on_stop": "discard"}}))
    domain, _ = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}", sender="")
    gateway.wait_until_held(queue_id)
    assert not gateway.notices_to(user.address)


# Section 4: the notice.

def test_the_notice_says_what_happened_and_what_to_do(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    begin = time.monotonic()
    queue_id = gateway.submit(user, recipient)
    notice = expect_stopped(gateway, user, queue_id, recipient, "5.7.4",
                            not_offered(domain.hosts[0], domain.addresses[0]))
    assert notice.envelope.arrived_at - begin < 3, "the sender hears of it at once"
    mail = notice.mail
    assert mail["From"] == "Mail Delivery System <MAILER-DAEMON@mail.example.org>"
    assert mail["To"] == user.address and mail["Auto-Submitted"] == "auto-replied"
    assert notice.about_message["Reporting-MTA"] == "dns; mail.example.org"
    fields = notice.recipient(recipient)
    assert fields["Final-Recipient"] == f"rfc822; {recipient}"
    assert fields["Remote-MTA"] == f"dns; {domain.hosts[0]}"
    held_until = parsedate_to_datetime(fields["X-Sealpost-Held-Until"]).timestamp()
    assert abs(held_until - time.time() - 7 * 86400) < 120
    assert domain.hosts[0] in notice.text and domain.addresses[0] in notice.text
    assert "guarantee" in notice.text.lower() and "release" in notice.text.lower()
    assert all(len(line) <= 998 for line in notice.envelope.data.split(b"\r\n"))
    reason = re.compile(not_offered(domain.hosts[0], domain.addresses[0]).strip("^$"))
    for line in notice.text.splitlines():
        assert len(line) <= 78 or reason.search(line) or line.lstrip().startswith("sealpostctl "), line
    assert reason.search(notice.text), "the sentence that programs look for is in one piece"


def test_the_notice_speaks_german_to_those_who_do(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = clear_domain(lab)
    user = gateway.add_user(guarantee="on", language="de")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    notice = expect_stopped(gateway, user, queue_id, f"bob@{domain.name}", "5.7.4",
                            not_offered(domain.hosts[0], domain.addresses[0]))
    assert re.search(r"\b(Nachricht|Empfänger)", notice.text), notice.text
    assert notice.subject == "Undelivered Mail Returned to Sender", "the subject is for machines too"


def test_one_message_makes_one_notice(gateway: Sealpost, lab: Lab) -> None:
    domains = [clear_domain(lab)[0] for _ in range(3)]
    user = gateway.add_user(guarantee="on")
    recipients = [f"bob@{domain.name}" for domain in domains]
    gateway.submit(user, recipients)
    notice = gateway.wait_for_notice(user.address)
    time.sleep(2)
    assert len(gateway.notices_to(user.address)) == 1
    assert len(notice.recipients) == 3
    for recipient in recipients:
        assert notice.recipient(recipient)["Status"] == "5.7.4"


def test_a_slow_recipient_does_not_hold_back_the_notice_of_another(gateway: Sealpost, lab: Lab) -> None:
    stopped, _ = clear_domain(lab)
    slow = lab.fresh("one")
    lab.rogue(slow.addresses[0], Script(greeting=SILENCE))
    user = gateway.add_user(guarantee="on")
    begin = time.monotonic()
    queue_id = gateway.submit(user, [f"bob@{stopped.name}", f"eve@{slow.name}"])
    notice = gateway.wait_for_notice(user.address)
    assert time.monotonic() - begin < 3.5 and len(notice.recipients) == 1
    gateway.ctl("queue", "remove", queue_id)


@pytest.mark.parametrize("ret, want", [("FULL", "message/rfc822"), ("HDRS", "text/rfc822-headers"),
                                       ("", "text/rfc822-headers")])
def test_over_a_local_route_the_notice_returns_what_ret_asks(gateway: Sealpost, lab: Lab, ret: str, want: str) -> None:
    domain, _ = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    gateway.submit(user, f"bob@{domain.name}", mail_options=[f"RET={ret}"] if ret else [])
    notice = gateway.wait_for_notice(user.address)
    assert notice.original_type == want
    assert "A subject to keep private" in notice.original
    assert ("The body is secret." in notice.original) == (ret == "FULL")


@pytest.mark.parametrize("store", ["away.example", "away-plain.example"])
def test_across_the_network_the_notice_returns_neither_text_nor_subject(gateway: Sealpost, lab: Lab, store: str) -> None:
    domain, _ = clear_domain(lab)
    user = gateway.add_user(guarantee="on", domain=store)
    gateway.submit(user, f"bob@{domain.name}", mail_options=["RET=FULL"])
    message = lab.postfix.wait_for_message(user.address)
    assert message.sender == "" and b"5.7.4" in message.data
    assert b"The body is secret." not in message.data and b"keep private" not in message.data
    fields = re.findall(rb"\r\nContent-Type: text/rfc822-headers.*?\r\n\r\n(.*?)\r\n--", message.data, re.S | re.I)
    names = {line.split(b":")[0].lower() for line in fields[0].split(b"\r\n") if b":" in line}
    assert names == {b"date", b"message-id", b"from"}, fields


def test_notify_never_binds_where_the_sender_is_the_owner(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}", rcpt_options=["NOTIFY=NEVER"])
    gateway.wait_until_held(queue_id)
    time.sleep(1.5)
    assert not gateway.notices_to(user.address)


def test_notify_never_does_not_silence_the_notice_to_a_forwards_owner(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = clear_domain(lab)
    owner = gateway.add_user(guarantee="on")
    message = make_message("stranger@else.example", owner.address, {"Delivered-To": owner.address})
    queue_id = gateway.relay("stranger@else.example", f"bob@{domain.name}", message, rcpt_options=["NOTIFY=NEVER"])
    gateway.wait_until_held(queue_id)
    assert gateway.wait_for_notice(owner.address).recipient(f"bob@{domain.name}")["Status"] == "5.7.4"


def test_envid_and_orcpt_come_back_in_the_notice(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    gateway.submit(user, f"bob@{domain.name}", mail_options=["ENVID=QQ314+2B159"],
                   rcpt_options=["NOTIFY=FAILURE", f"ORCPT=rfc822;Bob+40{domain.name}"])
    notice = gateway.wait_for_notice(user.address)
    assert notice.about_message["Original-Envelope-Id"] == "QQ314+159"
    assert notice.recipient(f"bob@{domain.name}")["Original-Recipient"] == f"rfc822; Bob@{domain.name}"


# Section 6: a host that had TLS; many that lost it at once.

@pytest.mark.parametrize("language, words, date", [
    ("", "This is new: host {host} was seen with working TLS as late as {date}.", "%a, %d %b %Y %H:%M:%S +0000"),
    ("de", "Das ist neu: Der Server {host} bot zuletzt am {date} noch funktionierendes TLS an.",
     "%d.%m.%Y %H:%M:%S UTC"),
])
def test_a_stop_at_a_host_that_had_tls_says_when_it_was_last_seen(make_gateway, lab: Lab, language: str, words: str,
                                                                  date: str) -> None:
    gateway = clocked(make_gateway)
    domain, rogue = known_domain(gateway, lab)
    user, recipient = gateway.add_user(guarantee="on", language=language), f"bob@{domain.name}"
    queue_id = gateway.submit(user, recipient)
    reason = (not_offered(domain.hosts[0], domain.addresses[0])[:-1]
              + r"; on \d earlier looks it offered TLS, last on \d{4}-\d\d-\d\d$")
    notice = expect_stopped(gateway, user, queue_id, recipient, "5.7.4", reason)
    fields = notice.recipient(recipient)
    seen = parsedate_to_datetime(fields["X-Sealpost-TLS-Last-Seen"])
    stopped = parsedate_to_datetime(fields["Last-Attempt-Date"])
    assert 0 <= (stopped - seen).total_seconds() < 600, "the last of the looks was just before"
    host = f"{domain.hosts[0]}[{domain.addresses[0]}]"
    assert words.format(host=host, date=seen.strftime(date)) in notice.one_line_text()
    shown = " ".join(gateway.ctl("held", "show", queue_id).stdout.split())
    assert f"had TLS on earlier looks, last at {seen.strftime('%Y-%m-%dT%H:%M:%S')}" in shown, shown
    assert "earlier looks it offered TLS, last on" in shown, shown
    expect_nothing_said_in_clear(rogue)


def test_a_host_that_never_had_tls_is_not_called_new(gateway: Sealpost, lab: Lab) -> None:
    _, _, user, _ = stop_one(gateway, lab)
    notice = gateway.wait_for_notice(user.address)
    assert "This is new" not in notice.text and "X-Sealpost-TLS-Last-Seen" not in notice.recipients[0]


def soon_warned(make_gateway, **delivery: object) -> Sealpost:
    retry = {**LIVES_ON["retry"], "warn_after": "2s"}
    return make_gateway(Settings({"retry": retry, "delivery": {"connect_timeout": "3s", **delivery}},
                                 has_own_clock=True))


def test_a_delay_at_a_host_that_had_tls_says_so_too(make_gateway, lab: Lab) -> None:
    gateway = soon_warned(make_gateway, remember_tls="7d")
    domain, rogue = known_domain(gateway, lab)
    user, recipient = gateway.add_user(), f"bob@{domain.name}"
    gateway.submit(user, recipient)
    notice = gateway.wait_for_notice(user.address, 10)
    assert notice.subject == "Delayed Mail (still being retried)"
    assert "This is new: host " in notice.one_line_text()
    assert "It was not sent there unencrypted." in notice.one_line_text()
    assert notice.recipient(recipient)["Action"] == "delayed"
    assert notice.recipient(recipient)["X-Sealpost-TLS-Last-Seen"]
    expect_nothing_said_in_clear(rogue)


def test_a_delay_while_stops_are_suspended_says_at_once_whose_fault_it_may_be(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings({**LIVES_ON, "delivery": {"connect_timeout": "3s"}}, has_own_clock=True))
    crowd = lab.crowd()
    look_at(gateway, crowd.recipients("known"))
    gateway.set_clock(8)
    crowd.set_tls(False)
    user = gateway.add_user(guarantee="on", language="de")
    gateway.submit(user, crowd.recipients())
    delays = wait_until(lambda: [n for n in gateway.notices_to(user.address) if n.subject.startswith("Delayed")], 20,
                        "a delay notice")
    assert "TLS fehlt an vielen Zielen zugleich" in delays[0].one_line_text()
    assert all(fields["Status"] == "4.3.0" for fields in delays[0].recipients), delays[0].recipients
    expect_nothing_said_in_clear(*crowd.hosts)
