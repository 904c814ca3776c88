"""The lab itself, proven with other people's programs: what it shows is what its tables say."""

import gzip
import json
import smtplib
import ssl
import subprocess
from dataclasses import dataclass
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from lab import clients, net
from lab.dovecot import Dovecot
from lab.finger import finger
from lab.https import Answer
from lab.laboratory import Lab
from lab.postfix import Listener, Postfix
from lab.process import wait_until
from lab.reports import GZIP_TYPE, Collector, report_by_mail
from lab.rogue_mx import CLOSE, RESET, Act, Script
from lab.sealpost import Account
from lab.sts import CERTIFICATE_FAULTS, WELL_KNOWN, Policy, faulty_certificate, sts_domain, wildcard_certificate
from lab.world import DANE_CASES, LISTENERS, DaneCase


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


# Records that change under way.

def test_a_changed_record_set_is_served(lab: Lab) -> None:
    domain = lab.fresh("sts")
    assert '"v=STSv1; id=1;"' in unbound_host(lab, f"_mta-sts.{domain.name}", "TXT")
    lab.dns.set(f"_mta-sts.{domain.name}", "TXT", '"v=STSv1; id=2"', '"some" " other"')
    found = unbound_host(lab, f"_mta-sts.{domain.name}", "TXT")
    assert '"v=STSv1; id=2"' in found and '"some" " other"' in found and "id=1" not in found
    lab.dns.set(f"_mta-sts.{domain.name}", "TXT")
    assert "NXDOMAIN" in unbound_host(lab, f"_mta-sts.{domain.name}", "TXT")


def test_a_changed_record_set_of_a_signed_zone_is_as_signed_as_asked_for(lab: Lab) -> None:
    domain = lab.fresh("sts-safe")
    name = f"_mta-sts.{domain.name}"
    assert "(secure)" in unbound_host(lab, name, "TXT")
    lab.dns.set(name, "TXT", '"v=STSv1; id=2"', is_broken=True)
    assert "(BOGUS" in unbound_host(lab, name, "TXT")
    assert "(secure)" in unbound_host(lab, domain.name, "MX")
    lab.dns.set(name, "TXT", '"v=STSv1; id=3"')
    assert "id=3" in unbound_host(lab, name, "TXT") and "(secure)" in unbound_host(lab, name, "TXT")


# The policy hosts, seen through curl.

def curl_policy(lab: Lab, host: str, *options: str) -> tuple[int, str, bytes]:
    """Fetches a policy; returns curl's exit status, "CODE TYPE", and the body."""
    result = subprocess.run(
        ["curl", "--silent", "--max-time", "2", "--cacert", str(lab.web_ca_file), "--write-out",
         "\\n%{http_code} %{content_type}", *options, f"https://{host}{WELL_KNOWN}"], capture_output=True, timeout=20)
    body, _, verdict = result.stdout.rpartition(b"\n")
    return result.returncode, verdict.decode(), body


POLICY_TEXT = Policy().text("x.example")
PARTIAL, UNVERIFIED, TIMED_OUT, NO_CONNECTION, RECEIVE_ERROR = 18, 60, 28, 7, 56


@pytest.mark.parametrize("answer, status, verdict", [
    (Answer(POLICY_TEXT), 0, "200 text/plain"),
    (Answer(POLICY_TEXT, framing="chunked"), 0, "200 text/plain"),
    (Answer(POLICY_TEXT, framing="close"), 0, "200 text/plain"),
    (Answer(POLICY_TEXT, content_type="text/plain; charset=utf-8"), 0, "200 text/plain; charset=utf-8"),
    (Answer(POLICY_TEXT, content_type=None), 0, "200 "),
    (Answer(POLICY_TEXT, delay=0.5), 0, "200 text/plain"),
    (Answer(POLICY_TEXT, byte_delay=0.001), 0, "200 text/plain"),
    (Answer(status=404), 0, "404 text/plain"),
    (Answer(status=500), 0, "500 text/plain"),
    (Answer(status=301, headers={"Location": "https://elsewhere.example/"}), 0, "301 text/plain"),
    (Answer(POLICY_TEXT, cut_at=30), PARTIAL, "200 text/plain"),
    (Answer(POLICY_TEXT, cut_at=30, framing="chunked"), PARTIAL, "200 text/plain"),
    (Answer(POLICY_TEXT, cut_at=30, is_reset=True), RECEIVE_ERROR, ""),  # the head may be lost with the rest
    (Answer(is_silent=True), TIMED_OUT, "000 "),
    (Answer(POLICY_TEXT, is_endless=True, framing="chunked"), TIMED_OUT, "200 text/plain"),
    (Answer(raw=b"SSH-2.0-this is no web server\r\n"), 1, "000 "),
], ids=lambda value: "" if not isinstance(value, Answer) else
    f"{value.status}-{value.framing}-{'raw' if value.raw else value.cut_at or value.content_type}")
def test_curl_gets_what_the_policy_host_was_told_to_say(lab: Lab, answer: Answer, status: int, verdict: str) -> None:
    one = sts_domain(lab, answer=answer)
    got, said, body = curl_policy(lab, one.policy_host)
    assert got == status and said.startswith(verdict), (got, said)
    if got == 0:
        assert body == answer.body and len(one.fetches) == 1
    if got != TIMED_OUT:
        assert one.fetches[0].target == WELL_KNOWN and one.fetches[0].server_name == one.policy_host


def test_an_end_told_by_closing_is_told_apart_from_a_cut_only_inside_tls(lab: Lab) -> None:
    """curl takes either for the end; close_notify is the difference."""
    one = sts_domain(lab, answer=[Answer(POLICY_TEXT, framing="close"), Answer(POLICY_TEXT, framing="close", cut_at=30)])
    shown = [subprocess.run(
        ["openssl", "s_client", "-connect", f"{net.WEB[0]}:443", "-servername", one.policy_host, "-quiet", "-ign_eof"],
        input=f"GET {WELL_KNOWN} HTTP/1.1\r\nHost: {one.policy_host}\r\n\r\n", capture_output=True, text=True, timeout=20)
        for _ in range(2)]
    assert "unexpected eof" not in shown[0].stderr and POLICY_TEXT.decode() in shown[0].stdout.replace("\n", "\r\n"), shown
    assert "unexpected eof" in shown[1].stderr, shown


def test_answers_are_given_in_turn(lab: Lab) -> None:
    one = sts_domain(lab, answer=[Answer(status=503), Answer(POLICY_TEXT)])
    assert [curl_policy(lab, one.policy_host)[1][:3] for _ in range(3)] == ["503", "200", "200"]


@pytest.mark.parametrize("fault", CERTIFICATE_FAULTS)
def test_curl_refuses_each_faulty_certificate(lab: Lab, fault: str) -> None:
    one = sts_domain(lab, certificate=fault)
    if fault != "no-san":  # curl still looks at the subject then, RFC 8461 does not
        assert curl_policy(lab, one.policy_host)[0] == UNVERIFIED and not one.fetches
    assert curl_policy(lab, one.policy_host, "--insecure")[0] == 0, "only the certificate is wrong"


def test_curl_takes_a_wildcard_certificate(lab: Lab) -> None:
    domain = sts_domain(lab)
    domain.site.certificate = wildcard_certificate(lab, domain.policy_host)
    assert curl_policy(lab, domain.policy_host)[0] == 0


@pytest.mark.parametrize("handshake, status", [("reset", 35), ("close", 35), ("silence", TIMED_OUT)])
def test_a_policy_host_can_break_in_the_handshake(lab: Lab, handshake: str, status: int) -> None:
    one = sts_domain(lab)
    one.site.handshake = handshake
    assert curl_policy(lab, one.policy_host)[0] == status


def test_a_policy_host_can_be_absent_elsewhere_or_on_ipv6(lab: Lab) -> None:
    one = sts_domain(lab)
    lab.dns.set(one.policy_host, "A", net.DEAD_WEB)
    assert curl_policy(lab, one.policy_host)[0] == NO_CONNECTION
    lab.dns.set(one.policy_host, "A")
    lab.dns.set(one.policy_host, "AAAA", net.WEB[1])
    wait_until(lambda: curl_policy(lab, one.policy_host)[0] == 0, 5, "the resolver to see the change")


@pytest.mark.parametrize("fault", ["", *CERTIFICATE_FAULTS])
def test_posttls_finger_verifies_the_mx_certificate_that_sts_asks_for(lab: Lab, fault: str) -> None:
    domain = lab.fresh("sts")
    host = domain.hosts[0]
    certificate = faulty_certificate(lab, fault, host) if fault else lab.web_certificate(host)
    lab.rogue(domain.addresses[0], Script(certificate=certificate), host)
    verdict, text = finger(lab, f"[{host}]", "secure", host)
    # As curl does, Postfix looks at the subject of a certificate without a single DNS name.
    assert verdict == ("verified" if fault in ("", "no-san") else "unauthenticated"), text


# Many destinations at once.

def said_at(address: str) -> set[str]:
    with smtplib.SMTP(address, timeout=5) as smtp:
        smtp.ehlo()
        return {"starttls"} & set(smtp.esmtp_features)


def test_a_crowd_loses_tls_and_signatures_at_one_stroke(lab: Lab) -> None:
    crowd = lab.crowd()
    assert len(crowd.domains) >= 24 and len({host.address.rsplit(".", 2)[0] for host in crowd.hosts}) >= 24
    few = crowd.domains[::7]
    assert all(finger(lab, domain.name, "encrypt")[0] == "unauthenticated" for domain in few[:2])
    kept = smtplib.SMTP(crowd.hosts[0].address, timeout=5)
    crowd.set_tls(False)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        kept.noop()
    assert not any(said_at(host.address) for host in crowd.hosts)
    crowd.set_tls(True, [3])
    assert [bool(said_at(host.address)) for host in crowd.hosts[2:5]] == [False, True, False]
    crowd.set_tls(True)
    crowd.set_bogus(True)
    assert all("(BOGUS" in unbound_host(lab, domain.name, "MX") for domain in few)
    crowd.set_bogus(False)
    assert all("(secure)" in unbound_host(lab, domain.name, "MX") for domain in few)


# Who collects TLS reports.

DOCUMENT = {"organization-name": "Lab", "policies": [{"policy": {"policy-type": "sts"}}]}


def test_a_collector_takes_a_report_over_https(lab: Lab, tmp_path: Path) -> None:
    collector = Collector(lab, "c1.collectors.example")
    packed = tmp_path / "report.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(DOCUMENT).encode()))
    for header in ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"):
        subprocess.run(["curl", "--silent", "--fail", "--cacert", str(lab.web_ca_file), "-H", header,
                        "-H", f"Content-Type: {GZIP_TYPE}", "--data-binary", f"@{packed}", collector.url],
                       check=True, timeout=20)
    for count in (1, 2):
        report = collector.wait_for_report(count)
        assert report.document == DOCUMENT and report.content_type == GZIP_TYPE
        assert report.policy("sts")["policy"]


def test_postfix_takes_a_report_by_mail(lab: Lab) -> None:
    recipient = "collector-lab@tls.example"
    mail = MIMEMultipart("report", report_type="tlsrpt")
    mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"] = "site.example", "mail.example.org"
    mail.attach(MIMEText("A report."))
    attached = MIMEApplication(gzip.compress(json.dumps(DOCUMENT).encode()), "tlsrpt+gzip")
    attached.add_header("Content-Disposition", "attachment", filename="a!b!1!2.json.gz")
    mail.attach(attached)
    with smtplib.SMTP(LISTENERS["ee"], timeout=10) as smtp:
        smtp.sendmail("reports@mail.example.org", recipient, mail.as_bytes())
    report = report_by_mail(lab, recipient)
    assert report.document == DOCUMENT and report.headers["filename"] == "a!b!1!2.json.gz"
