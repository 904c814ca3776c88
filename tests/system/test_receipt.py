"""Receipts: what a success notice says of how the message left, recipient by recipient (RFC 3461, 3464)."""

import re
import time
from email.utils import parsedate_to_datetime

import pytest

from lab.laboratory import Lab
from lab.net import POSTFIX_SINK
from lab.notice import Notice
from lab.postfix import Listener, Postfix
from lab.rogue_mx import RogueMx, Script
from lab.scenes import NO_TLS
from lab.sealpost import Account, Sealpost, Settings
from lab.sts import sts_domain
from lab.world import FreshDomain

SUCCESS = ["NOTIFY=SUCCESS"]
NO_DSN = {"extensions": ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")}


@pytest.fixture
def postfix_without_dsn(lab: Lab, tmp_path):
    """A real MX, with TLSA records that match, that does not offer DSN; and its domain."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o711)
    domain = lab.fresh("dane")
    server = Postfix(tmp_path / "postfix", sink=(POSTFIX_SINK[0], POSTFIX_SINK[1] + 1))
    server.listen(Listener(domain.addresses[0], domain.hosts[0], lab.certificate("pool"),
                           ("smtpd_discard_ehlo_keywords=dsn",)))
    server.start()
    yield domain, server
    server.stop()


def rogue(lab: Lab, kind: str = "one", **script) -> tuple[FreshDomain, RogueMx]:
    domain = lab.fresh(kind)
    return domain, lab.rogue(domain.addresses[0], Script(**script), domain.hosts[0])


def receipt_of(gateway: Sealpost, user: Account, recipient: str, begin: float) -> tuple[Notice, dict[str, str]]:
    """The receipt, with what every one of them says."""
    notice = gateway.wait_for_notice(user.address)
    assert notice.subject == "Successful Mail Delivery Report"
    fields = notice.recipient(recipient)
    assert fields["Status"].startswith("2.") and fields["Diagnostic-Code"].startswith("smtp; 250 "), fields
    left_at = parsedate_to_datetime(fields["Last-Attempt-Date"])
    assert begin - 2 <= left_at.timestamp() <= time.time() + 1, fields
    assert f"It left at {fields['Last-Attempt-Date']}" in notice.one_line_text()
    return notice, fields


def expect_left(fields: dict[str, str], protocol: str, verified: str, domain: FreshDomain, at: int = 0) -> None:
    """Over TLS, to that host."""
    assert fields["X-Sealpost-TLS-Protocol"] == protocol and fields["X-Sealpost-TLS-Verified"] == verified, fields
    assert re.match(r"(TLS_|ECDHE)", fields["X-Sealpost-TLS-Cipher"]), fields
    assert fields["X-Sealpost-TLS-Peer"] == f"{domain.hosts[at]}[{domain.addresses[at]}]:25", fields
    assert fields["X-Sealpost-TLS-Route"] == "network"
    assert fields["Remote-MTA"] == f"dns; {domain.hosts[at]}", fields


def test_a_host_without_dsn_leaves_the_receipt_to_us(gateway: Sealpost, postfix_without_dsn) -> None:
    domain, server = postfix_without_dsn
    user, recipient, begin = gateway.add_user(), f"bob@{domain.name}", time.time()
    gateway.submit(user, recipient, rcpt_options=SUCCESS)
    notice, fields = receipt_of(gateway, user, recipient, begin)
    assert fields["Action"] == "relayed"
    expect_left(fields, "TLSv1.3", "dane", domain)
    text = notice.one_line_text()
    assert f"It left encrypted: TLSv1.3 {fields['X-Sealpost-TLS-Cipher']}." in text
    assert "was verified by DANE" in text and f"for host {domain.hosts[0]}[{domain.addresses[0]}]." in text
    assert "the next host, which does not report its delivery" in text
    received = server.wait_for_message(recipient).data.decode()
    assert "TLSv1.3" in received and fields["X-Sealpost-TLS-Cipher"] in received, "Postfix saw the same"


def test_a_host_with_dsn_reports_by_itself(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    recipient = f"{user.address.split('@')[0]}-dsn@ee-nsec3.example"
    queue_id = gateway.submit(user, recipient, rcpt_options=SUCCESS)
    gateway.wait_until_gone(queue_id)
    lab.postfix.wait_for_message(recipient)
    # Postfix's own, which it sends to the user's domain: the lab's Postfix relays all of them to its sink.
    report = lab.postfix.wait_for_message(user.address)
    assert report.sender == "" and b"Successful Mail Delivery Report" in report.data
    assert b"X-Sealpost" not in report.data and not gateway.notices_to(user.address)


def test_it_says_that_mta_sts_verified_the_host(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, mx=[Script(**NO_DSN)])
    user, recipient, begin = gateway.add_user(), f"bob@{one.name}", time.time()
    gateway.submit(user, recipient, rcpt_options=SUCCESS)
    notice, fields = receipt_of(gateway, user, recipient, begin)
    expect_left(fields, "TLSv1.3", "sts", one.domain)
    assert "was verified by MTA-STS" in notice.one_line_text()


def test_it_says_that_the_webs_authorities_verified_the_host(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("safe")
    lab.rogue(domain.addresses[0], Script(certificate=lab.web_certificate(domain.hosts[0]), **NO_DSN), domain.hosts[0])
    user, recipient, begin = gateway.add_user(), f"bob@{domain.name}", time.time()
    gateway.submit(user, recipient, rcpt_options=SUCCESS)
    notice, fields = receipt_of(gateway, user, recipient, begin)
    expect_left(fields, "TLSv1.3", "pkix", domain)
    assert "was verified by WebPKI" in notice.one_line_text()


def test_it_says_that_nobody_verified_the_host(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = rogue(lab, **NO_DSN)
    user, recipient, begin = gateway.add_user(), f"bob@{domain.name}", time.time()
    gateway.submit(user, recipient, rcpt_options=SUCCESS)
    notice, fields = receipt_of(gateway, user, recipient, begin)
    expect_left(fields, "TLSv1.3", "none", domain)
    assert "That this is the right host was not verified." in notice.one_line_text()


@pytest.mark.parametrize("language, words", [("", "It left unencrypted, in clear text"),
                                             ("de", "Unverschlüsselt gesendet, im Klartext")])
def test_it_says_plainly_that_the_message_went_in_clear(gateway: Sealpost, lab: Lab, language: str, words: str) -> None:
    domain, host = rogue(lab, **NO_TLS, **NO_DSN)
    user, recipient = gateway.add_user(language=language), f"bob@{domain.name}"
    gateway.submit(user, recipient, rcpt_options=SUCCESS)
    notice = gateway.wait_for_notice(user.address)
    fields = notice.recipient(recipient)
    assert host.messages[0].tls is None
    assert words in notice.one_line_text() and "encrypted: TLS" not in notice.one_line_text()
    assert [fields[f"X-Sealpost-TLS-{name}"] for name in ("Protocol", "Cipher", "Verified")] == ["none"] * 3, fields
    assert fields["X-Sealpost-TLS-Peer"] == f"{domain.hosts[0]}[{domain.addresses[0]}]:25"


def test_over_a_local_route_nothing_crossed_a_network(gateway: Sealpost) -> None:
    user, other = gateway.add_user(guarantee="on"), gateway.add_user()
    begin = time.time()
    gateway.submit(user, other.address, rcpt_options=SUCCESS)
    notice, fields = receipt_of(gateway, user, other.address, begin)
    assert fields["Action"] == "delivered" and fields["X-Sealpost-TLS-Route"] == "local"
    assert "It stayed on this machine: nothing crossed a network." in notice.one_line_text()
    assert "clear text" not in notice.text


def test_five_recipients_make_one_receipt(gateway: Sealpost, lab: Lab) -> None:
    safe, clear = rogue(lab, **NO_DSN)[0], rogue(lab, **NO_TLS, **NO_DSN)[0]
    user = gateway.add_user()
    recipients = [f"{name}@{safe.name}" for name in ("a", "b", "c")] + [f"{name}@{clear.name}" for name in ("d", "e")]
    gateway.submit(user, recipients, rcpt_options=SUCCESS)
    notice = gateway.wait_for_notice(user.address)
    time.sleep(1.5)
    assert len(gateway.notices_to(user.address)) == 1 and len(notice.recipients) == 5
    for recipient in recipients:
        want = "none" if recipient.endswith(clear.name) else "TLSv1.3"
        assert notice.recipient(recipient)["X-Sealpost-TLS-Protocol"] == want


def test_a_null_reverse_path_has_no_receipt(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = rogue(lab, **NO_DSN)
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}", sender="", rcpt_options=SUCCESS)
    gateway.wait_until_gone(queue_id)
    time.sleep(1.5)
    assert not gateway.notices_to(user.address) and not gateway.events("notice-unsent", id=queue_id)


@pytest.mark.parametrize("guarantee", ["", "on"], ids=["off", "on"])
def test_across_the_network_a_receipt_of_guarded_mail_shows_nothing_of_it(gateway: Sealpost, lab: Lab,
                                                                        guarantee: str) -> None:
    domain, _ = rogue(lab, **NO_DSN)
    user = gateway.add_user(guarantee=guarantee, domain="away.example")
    gateway.submit(user, f"bob@{domain.name}", mail_options=["RET=FULL"], rcpt_options=SUCCESS)
    message = lab.postfix.wait_for_message(user.address)
    assert message.sender == "" and b"X-Sealpost-TLS-Protocol: TLSv1.3" in message.data
    assert b"The body is secret." not in message.data, "a receipt never returns content"
    assert (b"keep private" in message.data) == (not guarantee)


# Users who always want them: user set ADDRESS --receipts.

def receipts_user(gateway: Sealpost, **options: str) -> Account:
    user = gateway.add_user(**options)
    gateway.ctl("user", "set", user.address, "--receipts")
    return user


def test_such_a_user_has_one_from_us_where_the_host_does_dsn_too(gateway: Sealpost, lab: Lab) -> None:
    domain, host = rogue(lab)
    user, recipient, begin = receipts_user(gateway), f"bob@{domain.name}", time.time()
    gateway.submit(user, recipient)
    notice, fields = receipt_of(gateway, user, recipient, begin)
    expect_left(fields, "TLSv1.3", "none", domain)
    assert fields["Action"] == "relayed" and "which does not report its delivery" in notice.one_line_text()
    assert "NOTIFY" not in host.messages[0].recipients[0], "our own wish is not passed on"


def test_the_host_is_not_asked_for_a_report_of_its_own(gateway: Sealpost, lab: Lab) -> None:
    user = receipts_user(gateway)
    recipient = f"{user.address.split('@')[0]}-receipt@ee-nsec3.example"
    begin = time.time()
    gateway.submit(user, recipient)
    _, fields = receipt_of(gateway, user, recipient, begin)
    assert fields["X-Sealpost-TLS-Verified"] == "dane"
    lab.postfix.wait_for_message(recipient)
    time.sleep(1.5)
    assert not lab.postfix.messages_for(user.address), "Postfix was not asked for a report"


def test_what_the_client_asked_for_goes_on_all_the_same(gateway: Sealpost, lab: Lab) -> None:
    domain, host = rogue(lab)
    user, recipient, begin = receipts_user(gateway), f"bob@{domain.name}", time.time()
    gateway.submit(user, recipient, rcpt_options=["NOTIFY=SUCCESS,DELAY"])
    notice, _ = receipt_of(gateway, user, recipient, begin)
    assert "which was asked to report its delivery" in notice.one_line_text()
    assert "NOTIFY=SUCCESS,DELAY" in host.messages[0].recipients[0]


def test_every_recipient_of_such_a_user_is_in_one_receipt(gateway: Sealpost, lab: Lab) -> None:
    domains = [rogue(lab)[0], rogue(lab, **NO_DSN)[0], rogue(lab, **NO_TLS)[0]]
    user, other = receipts_user(gateway), gateway.add_user()
    recipients = [f"bob@{domain.name}" for domain in domains] + [f"eve@{domains[0].name}", other.address]
    gateway.submit(user, recipients)
    notice = gateway.wait_for_notice(user.address)
    time.sleep(1.5)
    assert len(gateway.notices_to(user.address)) == 1
    assert {fields["Final-Recipient"].split("; ")[1] for fields in notice.recipients} == set(recipients)
    assert notice.recipient(other.address)["X-Sealpost-TLS-Route"] == "local"


@pytest.mark.parametrize("sender, options", [(None, ["NOTIFY=NEVER"]), ("", [])], ids=["never", "null-reverse-path"])
def test_neither_never_nor_a_null_reverse_path_is_overridden(gateway: Sealpost, lab: Lab, sender: str | None,
                                                             options: list[str]) -> None:
    domain, _ = rogue(lab)
    user = receipts_user(gateway)
    queue_id = gateway.submit(user, f"bob@{domain.name}", rcpt_options=options,
                              **({} if sender is None else {"sender": sender}))
    gateway.wait_until_gone(queue_id)
    time.sleep(1.5)
    assert not gateway.notices_to(user.address) and not gateway.events("notice-unsent", id=queue_id)


def test_a_user_who_wants_no_more_has_none(gateway: Sealpost, lab: Lab) -> None:
    domain, _ = rogue(lab)
    user = receipts_user(gateway)
    gateway.ctl("user", "set", user.address, "--no-receipts")
    gateway.wait_until_gone(gateway.submit(user, f"bob@{domain.name}"))
    time.sleep(1.5)
    assert not gateway.notices_to(user.address)
