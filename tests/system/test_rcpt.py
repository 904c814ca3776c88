"""The answer at RCPT: what would be stopped is refused before anything is sent, and doubt takes it."""

import re
import signal
import smtplib
import time
from collections.abc import Callable

import pytest

from lab.answers import TAKEN, rcpt
from lab.expect import expect_delivered, expect_failed, not_offered
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import SILENCE, Act, Script
from lab.scenes import NO_TLS, TLS_454, clear_domain
from lab.sealpost import Account, Sealpost, Settings, make_message
from lab.world import FreshDomain

LOOKS = (0.0, 0.5, 1.0)  # hours; with these a host without TLS is known


@pytest.fixture
def probing(make_gateway) -> Sealpost:
    return make_gateway(Settings({"guarantee": {"at_rcpt": "probe"}}))


@pytest.fixture
def knowing(make_gateway) -> Sealpost:
    return make_gateway(Settings({"guarantee": {"at_rcpt": "known"}}, has_own_clock=True))


def expect_refused(answer: tuple[int, str], status: str, words: str) -> None:
    code, text = answer
    assert code == 550 and text.startswith(f"{status} "), answer
    assert re.search(words, text.removeprefix(f"{status} ")), answer


def no_tls(domain: FreshDomain) -> str:
    return not_offered(domain.hosts[0], domain.addresses[0])


def seconds(call: Callable[[], object]) -> tuple[float, object]:
    begin = time.monotonic()
    result = call()
    return time.monotonic() - begin, result


# probe

def test_a_host_without_tls_refuses_the_recipient_at_once(probing: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = probing.add_user(guarantee="on")
    took, answers = seconds(lambda: rcpt(probing, user, f"bob@{domain.name}", f"eve@{domain.name}"))
    for answer in answers:
        expect_refused(answer, "5.7.4", no_tls(domain))
    assert [event["to"] for event in probing.events("reject")] == [f"bob@{domain.name}", f"eve@{domain.name}"]
    assert took < 1.5
    assert len(rogue.sessions) == 1, "one look serves all of a domain"
    for _ in range(4):
        expect_refused(rcpt(probing, user, f"joe@{domain.name}")[0], "5.7.4", no_tls(domain))
    assert len(rogue.sessions) <= 2, "and the next transactions on the same loop, of which there are two"
    assert not probing.queue() and not probing.held()


def test_what_is_wrong_with_tls_has_its_own_status(probing: Sealpost, lab: Lab) -> None:
    strict, sure = probing.add_user(guarantee="on"), probing.add_user(guarantee="verified")
    broken, rude = lab.fresh("one"), lab.fresh("one")
    lab.rogue(broken.addresses[0], Script(handshake=Act(b"HTTP/1.0 400 Bad Request\r\n\r\n", then="close")),
              broken.hosts[0])
    lab.rogue(rude.addresses[0], Script(starttls="502 5.5.1 not for you"), rude.hosts[0])
    expect_refused(rcpt(probing, strict, "bob@ee-mismatch.example")[0], "5.7.5", "no TLSA record matches")
    expect_refused(rcpt(probing, strict, f"bob@{broken.name}")[0], "5.7.5", "Cannot start TLS: handshake failure")
    expect_refused(rcpt(probing, strict, f"bob@{rude.name}")[0], "5.7.4", "refused to start TLS: 502 5.5.1 not for you")
    expect_refused(rcpt(probing, sure, "bob@tls.example")[0], "5.7.5", "non DNSSEC destination")
    assert rcpt(probing, strict, "bob@tls.example") == [TAKEN]


def test_what_may_pass_is_taken(probing: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(**TLS_454), domain.hosts[0])
    dead = lab.fresh("one")
    user = probing.add_user(guarantee="on")
    recipients = (f"bob@{domain.name}", f"bob@{dead.name}", "bob@mx-bogus.example", "bob@[198.51.100.15]")
    assert rcpt(probing, user, *recipients) == [TAKEN] * len(recipients)


@pytest.mark.parametrize("domain, status", [("null-mx.example", "5.1.10"), ("missing.org", "5.1.2")])
def test_domains_without_mail_bounce_as_ever(probing: Sealpost, lab: Lab, domain: str, status: str) -> None:
    user = probing.add_user(guarantee="on")
    expect_failed(probing, user, probing.submit(user, f"bob@{domain}"), f"bob@{domain}", status)


def test_a_silent_host_is_taken_after_three_seconds(probing: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(greeting=SILENCE), domain.hosts[0])
    user = probing.add_user(guarantee="on")
    took, answers = seconds(lambda: rcpt(probing, user, *(f"{name}@{domain.name}" for name in ("bob", "eve", "joe"))))
    assert answers == [TAKEN] * 3 and 2.5 < took < 4.5, "and nobody waits twice for the same silence"


def test_a_host_without_tls_beside_a_silent_one_is_doubt(probing: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("plain")
    lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])
    lab.rogue(domain.addresses[1], Script(greeting=SILENCE), domain.hosts[1])
    assert rcpt(probing, probing.add_user(guarantee="on"), f"bob@{domain.name}") == [TAKEN]


def test_pipelined_recipients_are_answered_in_order(probing: Sealpost, lab: Lab) -> None:
    first, last = clear_domain(lab)[0], clear_domain(lab)[0]
    silent = lab.fresh("one")
    lab.rogue(silent.addresses[0], Script(greeting=SILENCE), silent.hosts[0])
    user = probing.add_user(guarantee="on")
    smtp = probing.login(user)
    recipients = (f"a@{first.name}", "b@tls.example", f"c@{silent.name}", f"d@{last.name}")
    commands = [f"MAIL FROM:<{user.address}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients), "RSET", "NOOP"]
    smtp.send("".join(f"{command}\r\n" for command in commands))
    answers = [smtp.getreply() for _ in commands]
    assert [code for code, _ in answers] == [250, 550, 250, 250, 550, 250, 250]
    for domain, (_, text) in ((first, answers[1]), (last, answers[4])):
        assert domain.hosts[0] in text.decode()
    smtp.close()


# Who is not asked about.

def test_who_is_never_refused(probing: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    recipient = f"bob@{domain.name}"
    strict = probing.add_user(guarantee="on")
    assert rcpt(probing, probing.add_user(), recipient) == [TAKEN], "no flag"
    assert rcpt(probing, strict, recipient, sender="") == [TAKEN], "null reverse-path"
    trying, excepted = probing.add_user(guarantee="on"), probing.add_user(guarantee="on")
    probing.ctl("guarantee", trying.address, "dry-run")
    assert rcpt(probing, trying, recipient) == [TAKEN], "dry run"
    probing.ctl("exception", "add", excepted.address, domain.name)
    assert rcpt(probing, excepted, recipient) == [TAKEN], "exception"
    probing.ctl("forward", "add", strict.address, recipient)
    assert rcpt(probing, strict, recipient) == [TAKEN], "target of a forward"
    queue_id = probing.relay(strict.address, f"eve@{domain.name}", make_message(strict.address, f"eve@{domain.name}"))
    probing.wait_until_held(queue_id)
    assert len(rogue.sessions) == 1, "the delivery's"
    expect_refused(rcpt(probing, strict, f"eve@{domain.name}")[0], "5.7.4", no_tls(domain))


def test_an_automatic_reply_with_a_reverse_path_of_its_own_is_refused(probing: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = probing.add_user(guarantee="on")
    recipient = f"bob@{domain.name}"
    reply = make_message(user.address, recipient, {"Auto-Submitted": "auto-replied"})
    with probing.login(user) as smtp, pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        smtp.sendmail(user.address, recipient, reply)
    code, text = refusal.value.recipients[recipient]
    expect_refused((code, text.decode()), "5.7.4", no_tls(domain))
    queue_id = probing.submit(user, recipient, reply, sender="")
    expect_delivered(probing, queue_id, recipient)
    assert rogue.messages[0].tls is None


def test_a_local_route_is_not_looked_at(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings({"guarantee": {"at_rcpt": "probe"}}))
    user = gateway.add_user(guarantee="verified")
    before = len(lab.mailbox.sessions)
    assert rcpt(gateway, user, f"somebody@{user.address.split('@')[1]}") == [TAKEN]
    assert len(lab.mailbox.sessions) == before


# The daemon meanwhile.

@pytest.mark.parametrize("act", ["reload", "stop", "client"])
def test_whatever_ends_under_way_harms_nobody(probing: Sealpost, lab: Lab, act: str) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(greeting=SILENCE), domain.hosts[0])
    user = probing.add_user(guarantee="on")
    smtp = probing.login(user)
    smtp.mail(user.address)
    smtp.send(f"RCPT TO:<bob@{domain.name}>\r\n")
    wait_until(lambda: rogue.sessions, 2, "the probe")
    assert probing.daemon
    begin = time.monotonic()
    if act == "reload":
        probing.daemon.process.send_signal(signal.SIGHUP)
        assert smtp.getreply()[0] == 250
        assert time.monotonic() - begin < 2, "nobody waits for a resolver that goes"
        wait_until(lambda: probing.events("reloaded"), 5, "the reload")
        assert rcpt(probing, user, f"bob@{domain.name}") == [TAKEN]
        assert len(rogue.sessions) == 2, "the next look is anew"
    elif act == "stop":
        probing.daemon.process.send_signal(signal.SIGTERM)
        assert smtp.getreply()[0] == 250
        assert time.monotonic() - begin < 2, "nor for a daemon that goes"
        smtp.close()
        probing.stop()
        assert time.monotonic() - begin < 10
    else:
        smtp.close()
        time.sleep(3.5)
    probing.assert_healthy()


# known

def learn(gateway: Sealpost, user: Account, domain: FreshDomain, hours: tuple[float, ...] = LOOKS,
          want: str = "held") -> None:
    """Deliveries that come to see the domain's hosts, one at each hour of the gateway's clock."""
    for hour in hours:
        gateway.set_clock(hour)
        queue_id = gateway.submit(user, f"bob@{domain.name}")
        gateway.wait_for_disposition(queue_id, f"bob@{domain.name}", want)
    time.sleep(0.5)  # what was learnt joins a commit


def test_a_domain_whose_hosts_refused_tls_thrice_is_known(knowing: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("safe")
    rogues = [lab.rogue(address, Script(**NO_TLS), host) for address, host in zip(domain.addresses, domain.hosts)]
    user, sure = knowing.add_user(guarantee="on"), knowing.add_user(guarantee="verified")
    learn(knowing, user, domain, LOOKS[:2])
    assert rcpt(knowing, user, f"bob@{domain.name}") == [TAKEN], "two looks are not enough"
    learn(knowing, user, domain, LOOKS[2:])
    before = [len(rogue.sessions) for rogue in rogues]
    took, answers = seconds(lambda: rcpt(knowing, user, f"bob@{domain.name}", f"bob@{lab.fresh('one').name}"))
    expect_refused(answers[0], "5.7.4", no_tls(domain))
    assert answers[1] == TAKEN and took < 1.5
    expect_refused(rcpt(knowing, sure, f"eve@{domain.name}")[0], "5.7.4", no_tls(domain))
    assert rcpt(knowing, knowing.add_user(), f"bob@{domain.name}") == [TAKEN]
    assert [len(rogue.sessions) for rogue in rogues] == before, "nothing is connected to"
    # What is known grows old; the next delivery looks, and it is known anew.
    knowing.set_clock(LOOKS[-1] + 24.1)
    assert rcpt(knowing, user, f"bob@{domain.name}") == [TAKEN]
    learn(knowing, user, domain, (LOOKS[-1] + 24.1,))
    expect_refused(rcpt(knowing, user, f"bob@{domain.name}")[0], "5.7.4", no_tls(domain))


def test_one_host_with_tls_is_reason_to_take_it(knowing: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("plain")
    lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])
    lab.rogue(domain.addresses[1], Script(data_end=Act("250 2.0.0 taken", then="close")), domain.hosts[1])
    user = knowing.add_user(guarantee="on")
    learn(knowing, user, domain, want="delivered")
    assert rcpt(knowing, user, f"bob@{domain.name}") == [TAKEN]


def test_one_host_never_seen_is_doubt(knowing: Sealpost, lab: Lab) -> None:
    domain, alone = lab.fresh("plain"), clear_domain(lab)[0]
    lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])
    user = knowing.add_user(guarantee="on")
    learn(knowing, user, domain)
    assert rcpt(knowing, user, f"bob@{domain.name}") == [TAKEN]
    learn(knowing, user, alone, tuple(hour + 1 for hour in LOOKS))
    expect_refused(rcpt(knowing, user, f"bob@{alone.name}")[0], "5.7.4", no_tls(alone))


def test_tls_that_came_back_is_reason_to_take_it(knowing: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = knowing.add_user(guarantee="on")
    learn(knowing, user, domain)
    expect_refused(rcpt(knowing, user, f"bob@{domain.name}")[0], "5.7.4", no_tls(domain))
    rogue.script.offers_starttls = True
    held = knowing.held()[0]["id"]
    knowing.ctl("release", held, "--recheck")
    knowing.wait_for_disposition(held, f"bob@{domain.name}", "delivered")
    time.sleep(0.5)
    assert rcpt(knowing, user, f"bob@{domain.name}") == [TAKEN]


def test_a_certificate_that_does_not_match_is_left_to_delivery(knowing: Sealpost, lab: Lab) -> None:
    """TLSA records and policies change from one minute to the next, and then mail passes."""
    user = knowing.add_user(guarantee="on")
    domain = FreshDomain("ee-mismatch.example", (), ())
    learn(knowing, user, domain)
    assert rcpt(knowing, user, f"bob@{domain.name}") == [TAKEN]


# off

def test_nobody_is_asked_unless_it_is_configured(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    assert rcpt(gateway, gateway.add_user(guarantee="on"), f"bob@{domain.name}") == [TAKEN]
    assert not rogue.sessions
