"""The lab itself, proven with other people's programs: what it shows is what its tables say."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import clients, net
from lab.dovecot import Dovecot
from lab.finger import finger
from lab.laboratory import Lab
from lab.postfix import Listener, Postfix
from lab.rogue_mx import CLOSE, RESET, Act, Script
from lab.sealpost import Account
from lab.world import DANE_CASES, DaneCase


def unbound_host(lab: Lab, name: str, rdtype: str) -> str:
    """What libunbound says, with exactly the files that the gateway is given."""
    result = subprocess.run(
        ["unbound-host", "-C", str(lab.dns.unbound_config), "-f", str(lab.dns.trust_anchor), "-v",
         "-t", rdtype, name], capture_output=True, text=True, timeout=60)
    return result.stdout + result.stderr


@pytest.mark.parametrize("name, rdtype, want", [
    ("tls-signed.example", "MX", "(secure)"),
    ("tls.example", "MX", "(insecure)"),
    ("mx-bogus.example", "MX", "(BOGUS"),
    ("mx-expired.example", "MX", "(BOGUS"),
    ("mx-servfail.example", "MX", "SERVFAIL"),
    ("missing.example", "MX", "NXDOMAIN"),
    ("missing.org", "MX", "not found: 3(NXDOMAIN). (secure)"),
    ("nothing.example", "MX", "has no mail handler record (secure)"),
    ("no-tlsa-nsec3.example", "TXT", "has no TXT record (secure)"),
    ("null-mx.example", "MX", "handled by 0 . (secure)"),
    ("_25._tcp.mx.tlsa-311.example", "TLSA", "(secure)"),
    ("_25._tcp.mx.tlsa-bogus.example", "TLSA", "(BOGUS"),
    ("_25._tcp.mx.tlsa-servfail.example", "TLSA", "SERVFAIL"),
    ("_25._tcp.mx.tlsa-subzone-insecure.example", "TLSA", "(insecure)"),
    ("mx.aaaa-denial-bogus.example", "AAAA", "(BOGUS"),
    ("mx.aaaa-denial-bogus.example", "A", "(secure)"),
    ("_25._tcp.mx.aaaa-denial-bogus.example", "TLSA", "(secure)"),
    ("mx.alias-to-insecure.example", "A", "(insecure)"),
    ("mx.alias-to-insecure.example", "CNAME", "(secure)"),
])
def test_libunbound_sees_each_kind_of_answer(lab: Lab, name: str, rdtype: str, want: str) -> None:
    assert want in unbound_host(lab, name, rdtype)


@pytest.mark.parametrize("case", DANE_CASES, ids=lambda case: case.name)
def test_posttls_finger_agrees_with_the_table(lab: Lab, case: DaneCase) -> None:
    wants = {"encrypted": "unauthenticated", "none": "unauthenticated"}
    got, text = finger(lab, case.domain)
    assert got == (case.postfix_differs or wants.get(case.want, case.want)), text


@dataclass
class StandIn:
    """A submission server of Postfix and Dovecot, to try the clients on."""

    name: str
    ca_file: Path
    postfix: Postfix
    dovecot: Dovecot


@pytest.fixture(scope="module")
def stand_in(world: Lab):
    dovecot = Dovecot(world.directory / "stand-in-dovecot",
                      {"alice@site.example": "pass word 1!", "bob@store.example": "x"})
    certificate = world.certificate("stand-in")
    postfix = Postfix(world.directory / "stand-in", sink=("127.0.0.1", 2427))
    sasl = ("smtpd_sasl_auth_enable=yes", "smtpd_sasl_type=dovecot",
            f"smtpd_sasl_path={dovecot.auth_socket}", "smtpd_tls_auth_only=yes")
    postfix.listen(
        Listener(net.STAND_IN, "stand-in.example.org", certificate, sasl, port=587),
        Listener(net.STAND_IN, "stand-in.example.org", certificate, (*sasl, "smtpd_tls_wrappermode=yes"),
                 port=465))
    try:
        dovecot.start()
        postfix.start()
        yield StandIn("stand-in.example.org", world.web_ca_file, postfix, dovecot)
    finally:
        postfix.stop()
        dovecot.stop()


@pytest.mark.parametrize("send, mechanism, port", [
    (clients.swaks, "PLAIN", 587),
    (clients.swaks, "LOGIN", 465),
    (clients.curl, "PLAIN", 587),
    (clients.curl, "LOGIN", 465),
    (clients.msmtp, "scram-sha-256", 587),
    (clients.msmtp, "plain", 465),
    (clients.s_nail, "plain", 587),
    (clients.s_nail, "login", 465),
    (clients.gsasl, "SCRAM-SHA-256", 587),
    (clients.gsasl, "PLAIN", 587),
])
def test_every_client_can_submit_to_a_real_server(stand_in: StandIn, send, mechanism: str, port: int) -> None:
    recipient = f"{send.__name__}-{mechanism.lower()}-{port}@tls.example"
    send(stand_in, Account("alice@site.example", "pass word 1!"), recipient, mechanism, port)
    message = stand_in.postfix.wait_for_message(recipient)
    assert message.sender == "alice@site.example"


def test_dovecot_takes_mail_over_lmtp(stand_in: StandIn) -> None:
    subprocess.run(["swaks", "--protocol", "LMTP", "--server", f"{net.DOVECOT_LMTP[0]}:{net.DOVECOT_LMTP[1]}",
                    "--from", "a@x.example", "--to", "bob@store.example", "--silent", "1"], check=True, timeout=20)
    assert "test" in stand_in.dovecot.wait_for_message("bob@store.example")["Subject"]


# The rogue host, seen through Postfix's client.

@pytest.mark.parametrize("script, want", [
    (Script(offers_starttls=False), "not-offered"),
    (Script(), "mismatch"),
    (Script(starttls="454 4.7.0 not now"), "454 4.7.0 not now"),
    (Script(handshake=RESET), "SSL_connect error"),
    (Script(handshake=CLOSE), "lost connection"),
    (Script(handshake=Act(b"HTTP/1.0 400 Bad Request\r\n\r\n", then="close")), "wrong version number"),
    (Script(versions=(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)), "SSL_connect error"),
    (Script(versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
            ciphers="ECDHE-RSA-AES128-GCM-SHA256"), "handshake failure"),
    (Script(greeting="554 5.3.2 go away"), "554 5.3.2"),
    (Script(greeting=Act("220 slow and steady", byte_delay=0.01)), "mismatch"),
])
def test_the_rogue_host_does_as_told(lab: Lab, script: Script, want: str) -> None:
    domain = lab.fresh("dane")
    script.certificate = lab.certificate("other")
    rogue = lab.rogue(domain.addresses[0], script)
    verdict, text = finger(lab, domain.name)
    assert want in (verdict, text) or want in text, (verdict, text, rogue.transcript())


def test_the_rogue_host_knows_what_was_said_in_the_clear(lab: Lab) -> None:
    domain = lab.fresh("plain")
    rogue = lab.rogue(domain.addresses[0], Script(rcpt={"eve": "550 5.1.1 no eve"}))
    result = subprocess.run(
        ["swaks", "--server", domain.addresses[0], "--tls", "--from", "a@x.example",
         "--to", f"eve@{domain.name},bob@{domain.name}", "--data", "Subject: x\n\n.dot\n."],
        capture_output=True, text=True, timeout=20)
    message = rogue.wait_for_message()
    session = rogue.wait_for_session()
    assert message.addresses == [f"bob@{domain.name}"] and message.tls == "TLSv1.3", result.stdout
    assert b"STARTTLS" in session.clear and b"MAIL" not in session.clear and b"MAIL" in session.secure
    assert session.verbs()[:3] == ["EHLO", "STARTTLS", "EHLO"]
    assert b"\r\n..dot\r\n" in message.raw and b"\r\n.dot\r\n" in message.data
