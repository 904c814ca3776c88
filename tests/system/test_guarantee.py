"""The guarantee on the wire: every row of the tables of GUARANTEE.md, sections 1 to 3.

MTA-STS and REQUIRETLS rows come with their features.
"""

import ssl
import time
from dataclasses import dataclass

import pytest

from lab import net
from lab.expect import (expect_deferred, expect_delivered, expect_failed, expect_nothing_said_in_clear,
                        expect_stop_in_notice, expect_stopped, not_offered)
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import CLOSE, RESET, SILENCE, Act, Script
from lab.scenes import NO_TLS, clear_domain, expect_plain_stop, stop_one
from lab.sealpost import PATIENCE, Sealpost, Settings, make_message
from lab.world import DANE_CASES, LISTENERS

OLD_TLS = {"versions": (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)}
NO_CIPHER = {"versions": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
             "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}


# Section 2: what one host can show. One host, a sender with the flag.

@dataclass(frozen=True)
class Fact:
    """One host's script and what follows for the recipient.

    deliver, defer, fail; stop: at once; patience: deferred first, stopped when patience is over
    """

    name: str
    script: dict
    want: str
    status: str = ""
    words: str = ""


REFUSED_WORDS = r"^TLS is required, but host \S+ refused to start TLS: "
HANDSHAKE_WORDS = r"(?i)tls"

FACTS = [
    # unreachable
    Fact("greeting-4xx", {"greeting": "421 4.3.2 busy"}, "defer"),
    Fact("greeting-5xx", {"greeting": "554 5.3.2 no mail here"}, "defer"),
    Fact("closed-before-greeting", {"greeting": CLOSE}, "defer"),
    Fact("reset-before-greeting", {"greeting": RESET}, "defer"),
    Fact("greeting-code-below-200", {"greeting": "199 hello"}, "defer"),
    Fact("greeting-code-above-599", {"greeting": "600 hello"}, "defer"),
    Fact("greeting-that-is-no-reply", {"greeting": "hello there"}, "defer"),
    Fact("greeting-code-glued-to-text", {"greeting": "220hello"}, "defer"),
    Fact("greeting-codes-that-differ", {"greeting": "220-hello\n250 there"}, "defer"),
    Fact("greeting-line-over-4096", {"greeting": "220 " + "x" * 5000}, "defer"),
    Fact("greeting-over-64-kib", {"greeting": "\n".join(["220-" + "x" * 1000] * 80 + ["220 x"])}, "defer"),
    Fact("greeting-line-without-end", {"greeting": Act(b"220 ", endless=b"x" * 1024)}, "defer"),
    Fact("greeting-with-bytes-nobody-asked-for", {"greeting": "220 hello\n250 there"}, "defer"),
    Fact("ehlo-then-closed", {"ehlo": CLOSE}, "defer"),
    Fact("ehlo-bad-code", {"ehlo": "099 what"}, "defer"),
    Fact("ehlo-line-without-end", {"ehlo": Act(b"250-", endless=b"x" * 1024)}, "defer"),
    Fact("ehlo-with-bytes-nobody-asked-for", {"ehlo": "250-rogue\n250 STARTTLS\n220 ready"}, "defer"),
    # no TLS offered
    Fact("no-starttls", NO_TLS, "stop", "5.7.4", "NOT OFFERED"),
    Fact("ehlo-500-helo-accepted", {"ehlo": "500 5.5.1 what"}, "stop", "5.7.4", "NOT OFFERED"),
    Fact("ehlo-502-helo-accepted", {"ehlo": "502 5.5.1 what"}, "stop", "5.7.4", "NOT OFFERED"),
    Fact("ehlo-504-helo-accepted", {"ehlo": "504 5.5.1 what"}, "stop", "5.7.4", "NOT OFFERED"),
    Fact("ehlo-550-helo-accepted", {"ehlo": "550 5.5.1 what"}, "stop", "5.7.4", "NOT OFFERED"),
    Fact("greeting-byte-by-byte", {"greeting": Act("220 slow", byte_delay=0.01), **NO_TLS}, "stop", "5.7.4",
         "NOT OFFERED"),
    # EHLO refused otherwise: unreachable
    Fact("ehlo-554", {"ehlo": "554 5.7.1 no"}, "defer"),
    Fact("ehlo-421", {"ehlo": Act("421 4.3.2 busy", then="close")}, "defer"),
    Fact("ehlo-451", {"ehlo": "451 4.3.0 later"}, "defer"),
    Fact("ehlo-502-helo-refused", {"ehlo": "502 5.5.1 what", "helo": "502 5.5.1 what"}, "defer"),
    # TLS passing trouble
    Fact("starttls-454", {"starttls": "454 4.7.0 not now"}, "patience", "5.7.4", REFUSED_WORDS),
    Fact("handshake-reset", {"handshake": RESET}, "patience", "5.7.5", HANDSHAKE_WORDS),
    Fact("handshake-closed", {"handshake": CLOSE}, "patience", "5.7.5", HANDSHAKE_WORDS),
    Fact("closed-after-220", {"starttls": Act("220 go", then="close")}, "patience", "5.7.5", HANDSHAKE_WORDS),
    # TLS refused
    Fact("starttls-501", {"starttls": "501 5.5.4 no"}, "stop", "5.7.4", REFUSED_WORDS),
    Fact("starttls-502-though-offered", {"starttls": "502 5.5.1 what"}, "stop", "5.7.4", REFUSED_WORDS),
    Fact("starttls-554", {"starttls": "554 5.7.3 no"}, "stop", "5.7.4", REFUSED_WORDS),
    Fact("starttls-250", {"starttls": "250 2.0.0 fine"}, "stop", "5.7.4", REFUSED_WORDS),
    Fact("starttls-451", {"starttls": "451 4.3.0 hm"}, "stop", "5.7.4", REFUSED_WORDS),
    # TLS failed
    Fact("tls-1.0-only", OLD_TLS, "stop", "5.7.5", r"(?i)unsupported protocol|protocol version"),
    Fact("tls-1.1-only", {"versions": (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)}, "stop", "5.7.5",
         r"(?i)unsupported protocol|protocol version"),
    Fact("no-shared-cipher", NO_CIPHER, "stop", "5.7.5", r"(?i)no shared cipher|handshake failure"),
    Fact("bytes-that-are-no-tls", {"handshake": Act(b"HTTP/1.0 400 Bad Request\r\n\r\n", then="close")},
         "stop", "5.7.5", HANDSHAKE_WORDS),
    Fact("bytes-behind-the-220", {"starttls": "220 go\n250 injected"}, "stop", "5.7.5", HANDSHAKE_WORDS),
    # connection lost after acceptable TLS
    Fact("lost-after-tls-ehlo", {"ehlo_tls": CLOSE}, "defer"),
    Fact("lost-at-mail", {"mail": CLOSE}, "defer"),
    Fact("lost-at-rcpt", {"rcpt": RESET}, "defer"),
    Fact("lost-at-data", {"data": CLOSE}, "defer"),
    Fact("lost-after-end-of-data", {"data_end": CLOSE}, "defer"),
    # acceptable TLS: the reply decides
    Fact("taken", {}, "deliver"),
    Fact("taken-then-gone", {"data_end": Act("250 2.0.0 taken", then="close")}, "deliver"),
    Fact("replies-with-odd-octets", {"greeting": b"220 \xff\x01\t\x7f\r\n", "mail": b"250\r\n",
                                     "rcpt": b"250 \r\n"}, "deliver"),
    Fact("without-pipelining", {"extensions": ("8BITMIME",)}, "deliver"),
    Fact("ehlo-refused-after-tls", {"ehlo_tls": "502 5.5.1 what"}, "defer"),
    Fact("mail-4xx", {"mail": "451 4.3.0 later"}, "defer"),
    Fact("mail-5xx", {"mail": "550 5.7.1 not you"}, "fail", "5.7.1", "not you"),
    Fact("mail-421", {"mail": Act("421 4.3.2 closing", then="close")}, "defer"),
    Fact("rcpt-4xx", {"rcpt": "450 4.2.0 greylisted"}, "defer"),
    Fact("rcpt-5xx", {"rcpt": "550 5.1.1 unknown user"}, "fail", "5.1.1", "unknown user"),
    Fact("rcpt-5xx-without-enhanced-code", {"rcpt": "550 unknown user"}, "fail", "5.0.0", "unknown user"),
    Fact("data-4xx", {"data": "451 4.3.0 later"}, "defer"),
    Fact("data-5xx", {"data": "554 5.6.0 no"}, "fail", "5.6.0", "no"),
    Fact("end-of-data-4xx", {"data_end": "452 4.3.1 disk full"}, "defer"),
    Fact("end-of-data-5xx", {"data_end": "550 5.7.1 spam"}, "fail", "5.7.1", "spam"),
    # what was learnt before TLS is forgotten
    Fact("small-size-in-the-clear-only", {"extensions": ("SIZE 10",), "extensions_tls": ("SIZE 1000000",)},
         "deliver"),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_what_one_host_shows_decides(gateway: Sealpost, lab: Lab, fact: Fact) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(**fact.script), domain.hosts[0])
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    begin = time.monotonic()
    queue_id = gateway.submit(user, recipient)
    words = not_offered(domain.hosts[0], domain.addresses[0]) if fact.words == "NOT OFFERED" else fact.words
    if fact.want == "deliver":
        assert expect_delivered(gateway, queue_id, recipient)["tls"].startswith("TLSv1.")
        assert len(rogue.messages) == 1
    elif fact.want == "defer":
        expect_deferred(gateway, queue_id, recipient)
    elif fact.want == "fail":
        expect_failed(gateway, user, queue_id, recipient, fact.status, fact.words)
    elif fact.want == "stop":
        expect_stopped(gateway, user, queue_id, recipient, fact.status, words, seconds=3)
        assert len(gateway.dispositions(queue_id, recipient)) == 1, "a stop is immediate"
    else:
        expect_patience(gateway, user, queue_id, recipient, fact.status, words, begin)
    if fact.want in ("stop", "patience") and words != not_offered(domain.hosts[0], domain.addresses[0]):
        assert "was not offered" not in gateway.log().split(queue_id, 1)[1], "each cause has its own words"
    expect_nothing_said_in_clear(rogue)


def expect_patience(gateway: Sealpost, user, queue_id: str, recipient: str, status: str, words: str,
                    begin: float) -> None:
    """Deferred while patience lasts, stopped at its end."""
    gateway.wait_until_deferred(queue_id, recipient)
    expect_stopped(gateway, user, queue_id, recipient, status, words, seconds=PATIENCE + 6)
    waited = time.monotonic() - begin
    assert PATIENCE - 0.5 < waited < PATIENCE + 4, f"stopped after {waited:.1f} s"


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "starttls", "handshake", "mail", "rcpt", "data",
                                   "data_end"])
def test_silence_stops_nothing_and_loses_nothing(gateway: Sealpost, lab: Lab, stage: str) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(**{stage: SILENCE}))
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    time.sleep(2)
    assert gateway.queued_recipient(queue_id, f"bob@{domain.name}"), "still in the queue"
    assert not gateway.held_entry(queue_id) and not gateway.notices_to(user.address)
    expect_nothing_said_in_clear(rogue)
    gateway.ctl("queue", "remove", queue_id)


@pytest.mark.parametrize("domain", ["mx-no-address.example", "mx-missing.example", "host-bogus.example",
                                    "dead.example"])
def test_a_host_that_cannot_be_reached_defers(gateway: Sealpost, domain: str) -> None:
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain}")
    expect_deferred(gateway, queue_id, f"bob@{domain}", attempts=1)


@pytest.mark.parametrize("domain", ["tlsa-servfail.example", "tlsa-bogus.example", "denial-bogus.example",
                                    "tlsa-expired.example"])
def test_a_host_whose_tlsa_cannot_be_learnt_is_not_used(gateway: Sealpost, lab: Lab, domain: str) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = f"{user.address.split('@')[0]}@{domain}"
    begin = time.monotonic()
    queue_id = gateway.submit(user, recipient)
    expect_patience(gateway, user, queue_id, recipient, "5.7.5", r"(?i)tlsa", begin)
    assert not lab.postfix.messages_for(recipient)


@pytest.mark.parametrize("domain", ["mx-bogus.example", "mx-expired.example", "mx-servfail.example"])
def test_patience_does_not_apply_to_a_failed_mx_lookup(gateway: Sealpost, domain: str) -> None:
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain}")
    gateway.wait_until_deferred(queue_id, f"bob@{domain}")
    time.sleep(PATIENCE + 2)
    expect_deferred(gateway, queue_id, f"bob@{domain}")
    assert not gateway.notices_to(user.address)


# Section 3: what follows, with several hosts.

@dataclass(frozen=True)
class Hosts:
    """The scripts of a domain's hosts in order of preference; None: connection refused."""

    name: str
    scripts: tuple
    want: str
    status: str = ""
    words: str = ""
    pool: str = "plain"


TLS_454 = {"starttls": "454 4.7.0 not now"}
HOSTS = [
    Hosts("1-second-host-with-tls-delivers", (NO_TLS, {}, {}), "deliver"),
    Hosts("1-permanent-reply-of-a-tls-host-fails", (NO_TLS, {"rcpt": "550 5.1.1 nobody"}, {}), "fail", "5.1.1"),
    Hosts("1-tls-host-after-454", (TLS_454, {}, None), "deliver"),
    Hosts("2-temporary-reply-of-a-tls-host-defers", (NO_TLS, {"rcpt": "450 4.2.0 later"}, NO_TLS), "defer"),
    Hosts("3-passing-trouble-elsewhere-defers", (NO_TLS, TLS_454, NO_TLS), "patience", "5.7.4", "NOT OFFERED 0"),
    Hosts("3-better-host-unreachable-defers", (None, NO_TLS, NO_TLS), "patience", "5.7.4", "NOT OFFERED 1"),
    Hosts("3-equal-host-unreachable-defers", (None, NO_TLS), "patience", "5.7.4", "NOT OFFERED 1", "equal"),
    Hosts("4-worse-host-unreachable-stops", (NO_TLS, None, None), "stop", "5.7.4", "NOT OFFERED 0"),
    Hosts("4-all-without-tls-stop", (NO_TLS, NO_TLS, NO_TLS), "stop", "5.7.4", "NOT OFFERED 0"),
    Hosts("4-reason-is-the-best-hosts", (OLD_TLS, NO_TLS, NO_TLS), "stop", "5.7.5", "(?i)protocol"),
    Hosts("4-reason-is-the-best-hosts-with-a-verdict", ({"starttls": "502 5.5.1 what"}, OLD_TLS, None), "stop",
          "5.7.4", REFUSED_WORDS),
    Hosts("5-nothing-reachable-defers-beyond-patience", (None, {"greeting": "421 4.3.2 no"}, None), "defer-long"),
]


@pytest.mark.parametrize("case", HOSTS, ids=lambda case: case.name)
def test_what_several_hosts_show_decides(gateway: Sealpost, lab: Lab, case: Hosts) -> None:
    domain = lab.fresh(case.pool)
    rogues = [lab.rogue(domain.addresses[index], Script(**script), domain.hosts[index])
              for index, script in enumerate(case.scripts) if script is not None]
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    begin = time.monotonic()
    queue_id = gateway.submit(user, recipient)
    words = case.words
    if words.startswith("NOT OFFERED"):
        index = int(words.split()[-1])
        words = not_offered(domain.hosts[index], domain.addresses[index])
    if case.want == "deliver":
        expect_delivered(gateway, queue_id, recipient)
        assert sum(len(rogue.messages) for rogue in rogues) == 1
    elif case.want == "fail":
        expect_failed(gateway, user, queue_id, recipient, case.status)
    elif case.want == "defer":
        expect_deferred(gateway, queue_id, recipient)
    elif case.want == "defer-long":
        time.sleep(PATIENCE + 2)
        expect_deferred(gateway, queue_id, recipient)
    elif case.want == "stop":
        notice = expect_stopped(gateway, user, queue_id, recipient, case.status, words, seconds=3)
        for host, address, script in zip(domain.hosts, domain.addresses, case.scripts):
            if script is not None:
                assert host in notice.text and address in notice.text, "the notice lists every host"
    else:
        expect_patience(gateway, user, queue_id, recipient, case.status, words, begin)
    expect_nothing_said_in_clear(*rogues)


def test_an_undecided_end_of_data_goes_to_no_further_host(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("plain")
    first = lab.rogue(domain.addresses[0], Script(data_end=[CLOSE, "250 2.0.0 ok"]))
    second = lab.rogue(domain.addresses[1])
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert len(first.messages) == 2 and not second.messages


def test_another_result_restarts_patience(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    busy = "421 4.3.2 busy"
    greeting = ["220 rogue", "220 rogue", busy]
    lab.rogue(domain.addresses[0], Script(greeting=greeting, starttls="454 4.7.0 not now"))
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    time.sleep(PATIENCE + 3)
    expect_deferred(gateway, queue_id, f"bob@{domain.name}", attempts=3)


@pytest.mark.parametrize("starttls", ["454 4.7.0 not now", "502 5.5.1 what", "554 5.7.3 no"])
def test_without_a_requirement_a_refused_starttls_goes_on_in_the_clear(
        gateway: Sealpost, lab: Lab, starttls: str) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(starttls=starttls))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    event = expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert event["tls"] == "none" and len(rogue.sessions) == 1 and rogue.messages[0].tls is None


@pytest.mark.parametrize("script", [{"handshake": RESET}, {"handshake": CLOSE}, OLD_TLS, NO_CIPHER],
                         ids=["reset", "closed", "tls-1.0", "no-cipher"])
def test_without_a_requirement_a_failed_handshake_goes_on_in_the_clear_on_a_new_connection(
        gateway: Sealpost, lab: Lab, script: dict) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(**script))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert len(rogue.sessions) == 2 and rogue.messages[0].tls is None
    assert "STARTTLS" not in rogue.sessions[1].verbs()


def test_without_a_requirement_no_tls_is_no_trouble(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(**NO_TLS))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert rogue.messages[0].tls is None


def test_a_clear_connection_never_carries_a_guaranteed_message(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])
    free, bound = gateway.add_user(), gateway.add_user(guarantee="on")
    ids = [gateway.submit(free, f"a{n}@{domain.name}") for n in range(3)]
    stopped = gateway.submit(bound, f"bob@{domain.name}")
    for n, queue_id in enumerate(ids):
        expect_delivered(gateway, queue_id, f"a{n}@{domain.name}")
    expect_stopped(gateway, bound, stopped, f"bob@{domain.name}", "5.7.4",
                   not_offered(domain.hosts[0], domain.addresses[0]))
    assert bound.address not in "".join(m.sender for m in rogue.messages)
    assert bound.address.encode() not in rogue.said_in_clear()


@pytest.mark.parametrize("domain", ["ee-mismatch.example", "ee-plain.example", "tlsa-servfail.example"])
def test_without_flag_or_policy_dane_defers_and_never_stops(gateway: Sealpost, lab: Lab, domain: str) -> None:
    user = gateway.add_user()
    recipient = f"{user.address.split('@')[0]}@{domain}"
    queue_id = gateway.submit(user, recipient)
    gateway.wait_until_deferred(queue_id, recipient)
    time.sleep(PATIENCE + 2)
    expect_deferred(gateway, queue_id, recipient)
    assert not lab.postfix.messages_for(recipient) and not gateway.notices_to(user.address)


@pytest.mark.parametrize("domain, status", [
    ("null-mx.example", "5.1.10"), ("null-mx-unsigned.example", "5.1.10"),
    ("missing.example", "5.1.2"), ("missing.org", "5.1.2"),
    ("nothing.example", "5.1.2"), ("nothing-unsigned.example", "5.1.2"),
    ("self.example", "5.4.6"), ("blocked.example", "5.4.6"),
])
@pytest.mark.parametrize("guarantee", ["", "on"], ids=["free", "guaranteed"])
def test_a_domain_that_takes_no_mail_fails_at_once(gateway: Sealpost, domain: str, status: str,
                                                   guarantee: str) -> None:
    user = gateway.add_user(guarantee=guarantee)
    queue_id = gateway.submit(user, f"bob@{domain}")
    notice = expect_failed(gateway, user, queue_id, f"bob@{domain}", status)
    assert "guarantee" not in notice.recipient(f"bob@{domain}")["Diagnostic-Code"].lower()


# Section 1: what is required, and of whom.

def test_the_flag_of_the_authenticated_user_binds_his_aliases_too(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    alias = f"alias-{domain.name.split('.')[0]}@site.example"
    user = gateway.add_user(guarantee="on", aliases=[alias])
    message = make_message(alias, f"bob@{domain.name}")
    queue_id = gateway.submit(user, f"bob@{domain.name}", message, sender=alias)
    entry = gateway.wait_until_held(queue_id)
    assert entry["sender"] == alias and entry["user"] == user.address
    assert gateway.wait_for_notice(alias).recipient(f"bob@{domain.name}")["Status"] == "5.7.4"
    expect_nothing_said_in_clear(rogue)


def test_the_flag_is_that_of_the_user_and_not_of_the_letter_case(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    sender = user.address.replace("user", "USER").replace("site.example", "Site.EXAMPLE")
    queue_id = gateway.submit(user, f"bob@{domain.name}", make_message(sender, f"bob@{domain.name}"),
                              sender=sender)
    gateway.wait_until_held(queue_id)
    expect_nothing_said_in_clear(rogue)


def test_on_the_relay_listener_the_reverse_path_names_the_user(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    queue_id = gateway.relay(user.address, recipient, make_message(user.address, recipient))
    expect_plain_stop(gateway, user, queue_id, domain)
    expect_nothing_said_in_clear(rogue)


def test_on_the_relay_listener_an_alias_in_the_reverse_path_names_the_user(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    alias = f"relay-{domain.name.split('.')[0]}@site.example"
    user = gateway.add_user(guarantee="on", aliases=[alias])
    recipient = f"bob@{domain.name}"
    queue_id = gateway.relay(alias, recipient, make_message(alias, recipient))
    assert gateway.wait_until_held(queue_id)["user"] == user.address
    expect_nothing_said_in_clear(rogue)


@pytest.mark.parametrize("header", ["X-Sieve-Redirected-From", "Resent-From", "Delivered-To", "X-Original-To"])
def test_on_the_relay_listener_forwarding_headers_name_the_owner(gateway: Sealpost, lab: Lab, header: str) -> None:
    domain, rogue = clear_domain(lab)
    owner = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    message = make_message("stranger@else.example", owner.address, {header: owner.address})
    queue_id = gateway.relay("stranger@else.example", recipient, message)
    entry = gateway.wait_until_held(queue_id)
    assert entry["user"] == owner.address
    notice = gateway.wait_for_notice(owner.address)
    reason = entry["recipients"][0]["reason"]
    expect_stop_in_notice(notice, queue_id, recipient, "5.7.4", reason)
    assert not [m for m in lab.mailbox.messages if "stranger@else.example" in m.addresses]
    expect_nothing_said_in_clear(rogue)


def test_on_the_relay_listener_a_null_reverse_path_takes_the_user_in_from(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    queue_id = gateway.relay("", recipient, make_message(user.address, recipient))
    assert gateway.wait_until_held(queue_id)["user"] == user.address
    time.sleep(1.5)
    assert not gateway.notices_to(user.address), "a null reverse-path makes no mail"
    expect_nothing_said_in_clear(rogue)


def test_on_the_relay_listener_mail_of_nobody_is_free(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    recipient = f"bob@{domain.name}"
    queue_id = gateway.relay("stranger@else.example", recipient, make_message("stranger@else.example", recipient))
    expect_delivered(gateway, queue_id, recipient)
    assert rogue.messages[0].tls is None


def test_the_flag_is_fixed_when_250_is_said(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")  # nobody there yet
    bound, free = gateway.add_user(guarantee="on"), gateway.add_user()
    held = gateway.submit(bound, f"bob@{domain.name}")
    sent = gateway.submit(free, f"eve@{domain.name}")
    gateway.wait_until_deferred(held, f"bob@{domain.name}")
    gateway.ctl("guarantee", bound.address, "off")
    gateway.ctl("guarantee", free.address, "on")
    rogue = lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])
    expect_delivered(gateway, sent, f"eve@{domain.name}")
    expect_plain_stop(gateway, bound, held, domain)
    assert bound.address.encode() not in rogue.said_in_clear()


def test_guarantee_for_a_while_returns_by_itself(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user(guarantee="on")
    gateway.ctl("guarantee", user.address, "off", "--for", "2s")
    shown = gateway.ask("user", "show", user.address)
    assert shown["guarantee"] == "off" and shown["guarantee_until"]
    domain, rogue = clear_domain(lab)
    queue_id = gateway.submit(user, f"eve@{domain.name}")
    expect_delivered(gateway, queue_id, f"eve@{domain.name}")
    time.sleep(2)
    shown = gateway.ask("user", "show", user.address)
    assert shown["guarantee"] == "encrypt" and shown["guarantee_until"] is None
    expect_plain_stop(gateway, user, gateway.submit(user, f"bob@{domain.name}"), domain)
    assert len(rogue.messages) == 1


def test_a_self_signed_certificate_satisfies_level_encrypt(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = f"{user.address.split('@')[0]}@tls.example"
    event = expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert event["tls"] == "TLSv1.3" and event["verified"] == "no"
    lab.postfix.wait_for_message(recipient)


@pytest.mark.parametrize("domain, want", [
    ("tlsa-311.example", "deliver"), ("implicit-mx.example", "deliver"),
    ("tls-signed.example", "stop"), ("tls.example", "stop"), ("half-dane.example", "stop"),
    ("usage0.example", "stop"), ("pkix.example", "stop"),
])
def test_level_verified_wants_dane_below_a_secure_mx(gateway: Sealpost, lab: Lab, domain: str, want: str) -> None:
    user = gateway.add_user(guarantee="verified")
    recipient = f"{user.address.split('@')[0]}@{domain}"
    queue_id = gateway.submit(user, recipient)
    if want == "deliver":
        assert expect_delivered(gateway, queue_id, recipient)["verified"] == "dane"
    else:
        expect_stopped(gateway, user, queue_id, recipient, "5.7.5", "(?i)verif|authentic|dane|certificate")
        assert not lab.postfix.messages_for(recipient)


def test_level_verified_tells_a_missing_starttls_before_a_missing_certificate(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="verified")
    expect_plain_stop(gateway, user, gateway.submit(user, f"bob@{domain.name}"), domain)
    assert rogue.sessions, "it is connected all the same"


POLICY_CASES = [
    # policy, the user's flag, domain, outcome, status
    ("encrypt", "", "clear.example", "stop", "5.7.4"),
    ("encrypt", "", "tls.example", "deliver", ""),
    ("may", "on", "clear.example", "stop", "5.7.4"),
    ("none", "on", "clear.example", "stop", "5.7.4"),
    ("none", "on", "tls.example", "deliver", ""),
    ("may", "", "clear.example", "deliver", ""),
    ("dane", "", "tlsa-311.example", "deliver", ""),
    ("dane", "", "tls-signed.example", "stop", "5.7.5"),
    ("dane", "", "half-dane.example", "stop", "5.7.5"),
    ("dane", "", "usage0.example", "stop", "5.7.5"),
    ("verify", "", "pkix.example", "deliver", ""),
    ("verify", "", "pkix-wrong-name.example", "stop", "5.7.5"),
    ("verify", "", "tls-signed.example", "stop", "5.7.5"),
    ("verify", "", "pkix-unsigned.example", "stop", "5.7.5"),
    ("verify", "", "tlsa-311.example", "deliver", ""),
]


@pytest.mark.parametrize("policy, flag, domain, want, status", POLICY_CASES,
                         ids=lambda value: str(value) or "free")
def test_a_policy_adds_to_the_flag_and_lowers_nothing(make_gateway, lab: Lab, policy: str, flag: str,
                                                      domain: str, want: str, status: str) -> None:
    gateway = make_gateway(Settings(policies={domain: policy}))
    user = gateway.add_user(guarantee=flag, domain="site.example")
    recipient = f"policy-{policy}-{flag or 'free'}@{domain}"
    queue_id = gateway.submit(user, recipient)
    if want == "deliver":
        expect_delivered(gateway, queue_id, recipient)
        lab.postfix.wait_for_message(recipient)
    else:
        expect_stopped(gateway, user, queue_id, recipient, status, ".")
        assert not lab.postfix.messages_for(recipient)


def test_a_policy_with_a_leading_dot_matches_subdomains(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(policies={".one.example": "encrypt"}))
    domain, rogue = clear_domain(lab)
    user = gateway.add_user()
    expect_plain_stop(gateway, user, gateway.submit(user, f"bob@{domain.name}"), domain)
    expect_nothing_said_in_clear(rogue)


@pytest.mark.parametrize("domain, want, status", [
    ("ee-mismatch.example", "stop", "5.7.5"), ("ee-plain.example", "stop", "5.7.4"),
    ("unusable-plain.example", "stop", "5.7.4"), ("usage0.example", "deliver", ""),
    ("tlsa-311.example", "deliver", ""),
])
def test_published_tlsa_binds_its_host(gateway: Sealpost, lab: Lab, domain: str, want: str, status: str) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = f"{user.address.split('@')[0]}-tlsa@{domain}"
    queue_id = gateway.submit(user, recipient)
    if want == "deliver":
        expect_delivered(gateway, queue_id, recipient)
    else:
        expect_stopped(gateway, user, queue_id, recipient, status, ".")
        assert not lab.postfix.messages_for(recipient)


def test_a_local_route_counts_as_met_for_every_level(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user(guarantee="verified")
    queue_id = gateway.submit(user, f"local-{user.address}")
    expect_delivered(gateway, queue_id, f"local-{user.address}")
    assert gateway.mail_to(f"local-{user.address}").tls is None


@pytest.mark.parametrize("title", ["away-plain.example", "*"])
@pytest.mark.parametrize("tls", ["none", "may"])
def test_a_route_across_the_network_lowers_nothing(make_gateway, lab: Lab, title: str, tls: str) -> None:
    next_hop = f"[{LISTENERS['plain']}]:25"
    gateway = make_gateway(Settings(routes={title: {"next_hop": next_hop, "protocol": "smtp", "tls": tls}}))
    user = gateway.add_user(guarantee="on")
    recipient = f"route-{tls}-{len(title)}@away-plain.example"
    expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.4", "was not offered")
    assert not lab.postfix.messages_for(recipient)


@pytest.mark.parametrize("title", ["*", ".two.example"])
def test_a_wide_route_to_loopback_is_not_local(make_gateway, lab: Lab, title: str) -> None:
    store = lab.mail_store(("127.0.0.1", 2430))
    try:
        gateway = make_gateway(Settings(routes={title: {
            "next_hop": "[127.0.0.1]:2430", "protocol": "lmtp", "tls": "none"}}))
        user = gateway.add_user(guarantee="on")
        recipient = "bob@deep.two.example"
        expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.4", "was not offered")
        assert not store.messages
    finally:
        store.stop()


def test_a_smarthost_with_tls_satisfies_level_encrypt(make_gateway, lab: Lab) -> None:
    smart = lab.rogue(net.SMARTHOST, Script())
    gateway = make_gateway(Settings(routes={"*": {
        "next_hop": "[mta.smart.example]:25", "protocol": "smtp", "tls": "encrypt"}}))
    user = gateway.add_user(guarantee="on")
    recipient = "bob@anywhere.example"
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert smart.messages[0].tls


def test_a_smarthost_does_not_satisfy_level_verified(make_gateway, lab: Lab) -> None:
    smart = lab.rogue(net.SMARTHOST, Script(certificate=lab.certificate("pkix")))
    gateway = make_gateway(Settings(routes={"*": {
        "next_hop": "[mta.smart.example]:25", "protocol": "smtp", "tls": "verify"}}))
    user = gateway.add_user(guarantee="verified")
    recipient = "bob@anywhere.example"
    expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.5", ".")
    assert not smart.messages


# Faults of our own, and what the administrator sees.

def test_a_dead_resolver_of_ours_is_never_blamed_on_the_destination(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"dns": {"resolvers": [f"{net.LAME_DNS}@53"]}}))
    user = gateway.add_user(guarantee="on")
    recipient = f"{user.address.split('@')[0]}-fault@tlsa-311.example"
    queue_id = gateway.submit(user, recipient)
    gateway.wait_until_deferred(queue_id, recipient, seconds=30)
    time.sleep(PATIENCE + 1)
    assert gateway.queued_recipient(queue_id, recipient) and not gateway.held_entry(queue_id)
    events = gateway.dispositions(queue_id, recipient)
    assert events and all(event["status"].startswith("4.3.") for event in events), events
    assert not gateway.notices_to(user.address)


def test_the_held_listing_tells_operators_what_is_held_and_why(gateway: Sealpost, lab: Lab) -> None:
    domain, _, user, queue_id = stop_one(gateway, lab)
    entry = gateway.held_entry(queue_id)
    assert entry and entry["size"] > 100 and entry["stopped_at"] < entry["expires_at"]
    assert [entry["id"] for entry in gateway.ask("held", "list", "--user", user.address)] == [queue_id]
    other = gateway.add_user()
    assert gateway.ask("held", "list", "--user", other.address) == []
    assert gateway.ask("held", "show", queue_id)
    table = gateway.ctl("held", "list").stdout
    assert queue_id in table and all(len(line) <= 80 for line in table.splitlines())
    assert f"bob@{domain.name}" in gateway.ctl("held", "show", queue_id).stdout
    assert gateway.ask("status")["held"] >= 1
    assert gateway.ctl("held", "show", "no-such-id", check=False).returncode == 1


# Dry run: the flag counts as off, and what it would have stopped is told.

def test_a_dry_run_tells_of_a_stop_where_the_mail_without_the_flag_waits(gateway: Sealpost) -> None:
    """A host that breaks its own DANE: without the flag mail for it waits, with the flag it is held at once."""
    case = next(case for case in DANE_CASES if case.want == "mismatch")
    user = gateway.add_user(guarantee="dry-run")
    recipient = f"{user.address.split('@')[0]}-trial@{case.domain}"
    queue_id = gateway.submit(user, recipient)
    gateway.wait_until_deferred(queue_id, recipient, attempts=3)
    [finding] = wait_until(lambda: gateway.ask("report", "dry-run", user.address), 5, "the finding")
    assert (finding["recipient"], finding["status"]) == (recipient, "5.7.5"), finding
    assert "no TLSA record matches" in finding["reason"], finding
    assert len(gateway.events("dry-run", id=queue_id)) == 1
    gateway.ctl("queue", "remove", queue_id)
    gateway.ctl("guarantee", user.address, "on")
    held = gateway.wait_until_held(gateway.submit(user, recipient))
    assert held["recipients"][0]["reason"] == finding["reason"]
