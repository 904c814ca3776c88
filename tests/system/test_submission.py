"""Submission: real clients, the replies that INTERFACE.md pins, and what is mended on the way in."""

import base64
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from lab import clients
from lab.expect import expect_delivered
from lab.laboratory import Lab
from lab.process import wait_until
from lab.sealpost import BUILD, HOSTNAME, Sealpost, Settings, make_message, queue_id_of


def deliver(gateway: Sealpost, lab: Lab, user, message: bytes, sender: str | None = None) -> bytes:
    """Submits to a fresh domain; returns the content that arrives there."""
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    queue_id = gateway.submit(user, f"bob@{domain.name}", message, sender=sender)
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    return rogue.messages[0].data


def head_of(data: bytes) -> str:
    return data.split(b"\r\n\r\n", 1)[0].decode("utf-8")


# Real clients.

CLIENTS = [
    (clients.swaks, "PLAIN", 587), (clients.swaks, "LOGIN", 587), (clients.swaks, "PLAIN", 465),
    (clients.curl, "PLAIN", 587), (clients.curl, "LOGIN", 465),
    (clients.msmtp, "scram-sha-256", 587), (clients.msmtp, "plain", 465), (clients.msmtp, "login", 587),
    (clients.s_nail, "plain", 587), (clients.s_nail, "login", 465),
    (clients.gsasl, "SCRAM-SHA-256-PLUS", 587), (clients.gsasl, "SCRAM-SHA-256", 587),
    (clients.gsasl, "PLAIN", 587),
]


@pytest.mark.parametrize("send, mechanism, port", CLIENTS)
def test_a_real_client_gets_its_mail_out(gateway: Sealpost, lab: Lab, send, mechanism: str, port: int) -> None:
    user = gateway.add_user(guarantee="on")
    recipient = f"{send.__name__}-{mechanism.lower()}-{port}@tlsa-311.example"
    send(gateway, user, recipient, mechanism, port)
    assert lab.postfix.wait_for_message(recipient).sender == user.address
    assert user.password not in gateway.log()


# Before TLS, before AUTH.

def test_before_tls_starttls_is_offered_and_auth_is_not(gateway: Sealpost) -> None:
    with gateway.connect() as smtp:
        smtp.ehlo()
        assert smtp.has_extn("starttls") and not smtp.has_extn("auth")
        for extension in ("pipelining", "size", "8bitmime", "enhancedstatuscodes", "dsn"):
            assert smtp.has_extn(extension), extension


@pytest.mark.parametrize("command", ["MAIL FROM:<a@site.example>", "AUTH PLAIN AGEAYg==", "AUTH LOGIN",
                                     "RCPT TO:<a@site.example>", "DATA"])
def test_before_tls_nothing_else_is_allowed(gateway: Sealpost, command: str) -> None:
    with gateway.connect() as smtp:
        smtp.ehlo()
        assert smtp.docmd(command) == (530, b"5.7.0 Must issue a STARTTLS command first")


def test_the_assistance_is_the_second_line_of_the_530(make_gateway) -> None:
    assistance = "For assistance, visit https://help.example.org/tls"
    gateway = make_gateway(Settings(sections={"tls": {"assistance": assistance}}))
    with gateway.connect() as smtp:
        smtp.ehlo()
        smtp.send("MAIL FROM:<a@site.example>\r\n")
        smtp.file = smtp.sock.makefile("rb")
        lines = [smtp.file.readline() for _ in range(2)]
    assert lines == [b"530-5.7.0 Must issue a STARTTLS command first\r\n",
                     b"530 5.7.0 " + assistance.encode() + b"\r\n"]


def test_after_tls_the_mechanisms_are_offered(gateway: Sealpost) -> None:
    with gateway.secured() as smtp:
        assert set(smtp.esmtp_features["auth"].split()) == {
            "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"}
        assert not smtp.has_extn("starttls")


def test_after_tls_mail_wants_authentication(gateway: Sealpost) -> None:
    with gateway.secured() as smtp:
        assert smtp.mail("a@site.example") == (530, b"5.7.0 Authentication required")


@pytest.mark.parametrize("name, password", [("right", "wrong"), ("nobody@site.example", "right")])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_wrong_credentials_get_535(gateway: Sealpost, name: str, password: str, mechanism: str) -> None:
    user = gateway.add_user()
    smtp = gateway.secured(source="192.0.2.77")
    smtp.user = user.address if name == "right" else name
    smtp.password = user.password if password == "right" else "not the password"
    with smtp, pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
        smtp.auth(mechanism, getattr(smtp, f"auth_{mechanism.lower()}"))
    assert refusal.value.smtp_code == 535 and refusal.value.smtp_error.startswith(b"5.7.8")
    assert "not the password" not in gateway.log()
    assert base64.b64encode(b"not the password").decode() not in gateway.log()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_authentication_can_be_cancelled(gateway: Sealpost, mechanism: str) -> None:
    user = gateway.add_user()
    with gateway.secured() as smtp:
        assert smtp.docmd(f"AUTH {mechanism}")[0] == 334
        assert smtp.docmd("*")[0] == 501
        smtp.login(user.address, user.password)


def test_login_takes_an_initial_response(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.secured() as smtp:
        code, challenge = smtp.docmd("AUTH LOGIN " + base64.b64encode(user.address.encode()).decode())
        assert code == 334 and base64.b64decode(challenge).startswith(b"Password")
        assert smtp.docmd(base64.b64encode(user.password.encode()).decode())[0] == 235


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "CRAM-MD5", "ANONYMOUS", "EXTERNAL", "NTLM", "X"])
def test_other_mechanisms_are_refused(gateway: Sealpost, mechanism: str) -> None:
    with gateway.secured() as smtp:
        assert smtp.docmd(f"AUTH {mechanism}")[0] == 504


def test_a_changed_password_counts_from_the_next_login(gateway: Sealpost) -> None:
    user = gateway.add_user()
    gateway.login(user).quit()
    gateway.ctl("user", "set", user.address, "--password-stdin", stdin="a new one\n")
    smtp = gateway.secured(source="192.0.2.78")
    with smtp, pytest.raises(smtplib.SMTPAuthenticationError):
        smtp.login(user.address, user.password)
    user.password = "a new one"
    gateway.login(user).quit()


def test_the_store_holds_no_password(make_gateway) -> None:
    gateway = make_gateway(start=False)
    user = gateway.add_user()
    for path in (gateway.directory / "state").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert user.password.encode() not in content
            assert base64.b64encode(user.password.encode()) not in content


# TLS.

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions_that_are_taken_show_in_received(gateway: Sealpost, lab: Lab, version: ssl.TLSVersion) -> None:
    user = gateway.add_user()
    context = gateway.client_context()
    context.minimum_version = context.maximum_version = version
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    smtp = gateway.connect()
    smtp.starttls(context=context)
    smtp.login(user.address, user.password)
    smtp.sendmail(user.address, f"bob@{domain.name}", make_message(user.address, f"bob@{domain.name}"))
    smtp.quit()
    received = head_of(rogue.wait_for_message().data).split("\r\nFrom:")[0]
    assert {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name] in received


@pytest.mark.parametrize("options, cause", [
    (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "unsupported protocol"),
    (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "unsupported protocol"),
    (["-tls1_2", "-cipher", "AES128-SHA256"], "no shared cipher"),
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "no shared cipher"),
])
def test_a_refused_handshake_is_explained_in_the_log(gateway: Sealpost, options: list[str], cause: str) -> None:
    begin = len(gateway.log())
    subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"{gateway.address}:587", *options],
                   input=b"", capture_output=True, timeout=20)
    wait_until(lambda: cause in gateway.log()[begin:], 5, f"{cause!r} in the log")


def test_there_is_no_renegotiation(gateway: Sealpost) -> None:
    result = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"{gateway.address}:587", "-tls1_2"],
        input=b"R\nQUIT\n", capture_output=True, timeout=20)
    output = result.stdout + result.stderr
    assert b"221 " not in output.split(b"RENEGOTIATING")[-1] or b"no renegotiation" in output.lower(), output


def test_commands_in_the_clear_behind_starttls_are_not_obeyed_inside_tls(gateway: Sealpost) -> None:
    smtp = gateway.connect()
    smtp.ehlo()
    smtp.send(b"STARTTLS\r\nNOOP\r\nEHLO injected\r\n")
    try:
        code, _ = smtp.getreply()
        if code != 220:
            return  # refused at once: as good
        smtp.sock = gateway.client_context().wrap_socket(smtp.sock, server_hostname=HOSTNAME)
        smtp.file = None
        smtp.sock.settimeout(3)
        assert smtp.docmd("RSET")[0] != 250 or smtp.docmd("EHLO", "x")[1].startswith(HOSTNAME.encode())
        smtp.sock.settimeout(0.5)
        with pytest.raises((TimeoutError, socket.timeout)):
            smtp.sock.recv(1)
    except (ssl.SSLError, ConnectionError, smtplib.SMTPServerDisconnected):
        pass  # dropped: as good
    finally:
        smtp.close()


def test_sighup_loads_a_new_certificate(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    chain, key = gateway.directory / "chain.pem", gateway.directory / "key.pem"
    old, new = lab.certificate("gateway"), lab.pki.server("gateway-new", [HOSTNAME], lab.certificate("web-ca"))
    gateway.stop()
    for certificate, act in ((old, gateway.start), (new, lambda: gateway.daemon.process.send_signal(signal.SIGHUP))):
        chain.write_bytes(certificate.chain_file.read_bytes())
        key.write_bytes(certificate.key_file.read_bytes())
        gateway.configure(Settings(sections={"tls": {"certificate": chain, "key": key}}))
        act()

        def serial() -> int:
            smtp = gateway.connect(465)
            got = int(smtp.sock.getpeercert()["serialNumber"], 16)
            smtp.close()
            return got
        want = certificate.certificate.serial_number
        wait_until(lambda: serial() == want, 5, "the certificate to be served")


# Whose address.

@pytest.mark.parametrize("sender", ["else@site.example", "stranger@else.example", "user@site.example.evil"])
def test_mail_from_must_be_the_users(gateway: Sealpost, sender: str) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        code, text = smtp.mail(sender)
    assert (code, text[:5]) == (553, b"5.7.1")


@pytest.mark.parametrize("author", ["stranger@else.example", "{user}, stranger@else.example",
                                    "\"{user}\" <stranger@else.example>"])
def test_header_from_must_be_the_users(gateway: Sealpost, author: str) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        smtp.rcpt("local@site.example")
        code, text = smtp.data(make_message(author.format(user=user.address), "local@site.example"))
    assert 550 <= code <= 559 and text.startswith(b"5.7.1")


def test_a_null_reverse_path_is_accepted_with_the_users_from(gateway: Sealpost) -> None:
    user = gateway.add_user()
    receipt = f"receipt-{user.address}"
    gateway.submit(user, receipt, make_message(user.address, receipt), sender="")
    assert gateway.mail_to(receipt).sender == ""
    with gateway.login(user) as smtp:
        smtp.mail("")
        smtp.rcpt(receipt)
        assert smtp.data(make_message("stranger@else.example", receipt))[0] // 100 == 5


def test_a_source_route_is_dropped(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        assert smtp.docmd(f"RCPT TO:<@a.example,@b.example:routed-{user.address}>")[0] == 250
        assert smtp.data(make_message(user.address, "x@site.example"))[0] == 250
    assert gateway.mail_to(f"routed-{user.address}")


@pytest.mark.parametrize("local", ["a%b.example", "b.example!a", "a+b", "\"quoted local\""])
def test_percent_and_bang_are_plain_characters(gateway: Sealpost, local: str) -> None:
    user = gateway.add_user()
    gateway.submit(user, f"{local}@site.example")
    assert gateway.mail_to(f"{local}@site.example")


@pytest.mark.parametrize("command", ["MAIL FROM:<\u00fc@site.example>", "RCPT TO:<\u00fc@tls.example>"])
def test_without_smtputf8_a_non_ascii_address_gets_553(gateway: Sealpost, command: str) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        if command.startswith("RCPT"):
            smtp.mail(user.address)
        smtp.send(command.encode() + b"\r\n")
        code, text = smtp.getreply()
    assert (code, text[:5]) == (553, b"5.6.7")


@pytest.mark.parametrize("command", ["MAIL FROM:a@site.example", "MAIL FROM:<a@site.example", "MAIL",
                                     "MAIL FROM:<a@@site.example>", "MAIL TO:<a@site.example>"])
def test_bad_syntax_is_a_501(gateway: Sealpost, command: str) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        assert smtp.docmd(command)[0] in (500, 501, 553, 555)
        assert smtp.mail(user.address)[0] == 250, "the session goes on"


def test_commands_out_of_order_get_503(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        assert smtp.docmd("RCPT TO:<a@site.example>")[0] == 503
        assert smtp.docmd("DATA")[0] == 503
        assert smtp.mail(user.address)[0] == 250
        assert smtp.mail(user.address)[0] == 503
        assert smtp.docmd("NOOP")[0] == 250 and smtp.docmd("RSET")[0] == 250
        assert smtp.docmd("GARBAGE")[0] in (500, 502)


# Sizes and limits.

def test_a_message_announced_too_large_is_refused_at_mail(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        assert int(smtp.esmtp_features["size"]) == 1024 * 1024
        code, text = smtp.mail(user.address, ["SIZE=2000000"])
    assert (code, text[:5]) == (552, b"5.3.4")


def test_a_message_that_turns_out_too_large_is_refused_at_its_end(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        smtp.rcpt("local@site.example")
        body = ("x" * 70 + "\r\n") * 20000
        code, text = smtp.data(make_message(user.address, "local@site.example", body=body))
        assert (code, text[:5]) == (552, b"5.3.4")
        assert smtp.mail(user.address)[0] == 250, "the session goes on"


def test_too_many_recipients_are_a_452(make_gateway) -> None:
    gateway = make_gateway(Settings(sections={"limits": {"recipients": 3}}))
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        codes = [smtp.rcpt(f"local{n}@site.example") for n in range(4)]
    assert [code for code, _ in codes] == [250, 250, 250, 452] and codes[3][1].startswith(b"4.5.3")


@pytest.mark.parametrize("limit", ["messages_per_hour", "recipients_per_hour"])
def test_the_rate_limit_is_a_450(make_gateway, limit: str) -> None:
    gateway = make_gateway(Settings(sections={"limits": {limit: 2}}))
    user, other = gateway.add_user(), gateway.add_user()
    for _ in range(2):
        gateway.submit(user, "local@site.example")
    with gateway.login(user) as smtp:
        code, text = smtp.mail(user.address)
        if code == 250:
            code, text = smtp.rcpt("local@site.example")
    assert (code, text[:5]) == (450, b"4.7.1")
    gateway.submit(other, "local@site.example")


def test_a_full_queue_is_a_452_and_delivery_goes_on(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={
        "limits": {"queue_size": "16M", "message_size": "1M"},
        "retry": {"first": "10m", "max": "4h", "lifetime": "5d", "warn_after": "4h"}}))
    user = gateway.add_user()
    domain = lab.fresh("one")
    body = ("x" * 70 + "\r\n") * 13000
    message = make_message(user.address, f"bob@{domain.name}", body=body)
    accepted = []
    with gateway.login(user) as smtp:
        for _ in range(30):
            code, text = smtp.mail(user.address, [f"SIZE={len(message)}"])
            if code == 250:
                smtp.rcpt(f"bob@{domain.name}")
                code, text = smtp.data(message)
            if code != 250:
                break
            accepted.append(queue_id_of(text))
    assert (code, text[:5]) == (452, b"4.3.1"), (code, text)
    rogue = lab.rogue(domain.addresses[0])
    gateway.ctl("queue", "retry")
    for queue_id in accepted:
        gateway.wait_until_gone(queue_id, 20)
    assert len(rogue.messages) == len(accepted) > 5
    gateway.submit(user, f"bob@{domain.name}")


def test_a_loop_is_seen_by_the_count_of_received(gateway: Sealpost) -> None:
    user = gateway.add_user()
    headers = {"X-First": "1" + "\r\nReceived: from a by b; Mon, 02 Nov 2026 10:00:00 +0000" * 120}
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        smtp.rcpt("local@site.example")
        code, text = smtp.data(make_message(user.address, "local@site.example", headers))
    assert code // 100 == 5 and text.startswith(b"5.4.6")


def test_a_batch_of_commands_is_answered_in_order(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.send(f"MAIL FROM:<{user.address}>\r\nRCPT TO:<batch-{user.address}>\r\nRCPT TO:<@>\r\nDATA\r\n".encode())
        codes = [smtp.getreply()[0] for _ in range(4)]
        assert codes[:2] == [250, 250] and codes[2] // 100 == 5 and codes[3] == 354
        smtp.send(make_message(user.address, "x@site.example") + b".\r\nRSET\r\nNOOP\r\n")
        assert [smtp.getreply()[0] for _ in range(3)] == [250, 250, 250]
    assert gateway.mail_to(f"batch-{user.address}")


# Message data.

SMUGGLED = b"MAIL FROM:<evil@site.example>\r\nRCPT TO:<victim@site.example>\r\nDATA\r\nFrom: e\r\n\r\nx\r\n.\r\n"


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n",
                                 b"\r\n\x00.\r\n"], ids=repr)
def test_only_crlf_dot_crlf_ends_the_data(gateway: Sealpost, end: bytes) -> None:
    user = gateway.add_user()
    recipient = f"smuggle-{user.address}"
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        smtp.rcpt(recipient)
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(make_message(user.address, recipient) + b"text" + end + SMUGGLED)
        code, text = smtp.getreply()
        want = b"5.6.0" if b"\x00" in end else b"5.5.2"
        assert code // 100 == 5 and text.startswith(want), (code, text)
        assert smtp.docmd("NOOP")[0] == 250, "one reply for the whole of it"
    time.sleep(0.5)
    assert not [m for m in gateway.lab.mailbox.messages
                if "victim@site.example" in m.addresses or recipient in m.addresses]


def test_nul_is_refused(gateway: Sealpost) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        smtp.rcpt("local@site.example")
        smtp.docmd("DATA")
        smtp.send(make_message(user.address, "local@site.example", body="a\0b\r\n") + b".\r\n")
        code, text = smtp.getreply()
    assert code // 100 == 5 and text.startswith(b"5.6.0")


# What is mended.

def test_the_received_field_tells_no_client_address(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    smtp = gateway.secured(source="192.0.2.79")
    smtp.ehlo("laptop.secret.example")
    smtp.login(user.address, user.password)
    smtp.mail(user.address)
    for name in ("bob", "eve"):
        smtp.rcpt(f"{name}@{domain.name}")
    code, text = smtp.data(make_message(user.address, "x@y.example", {"X-Originating-IP": "[192.0.2.79]"}))
    smtp.close()
    queue_id = queue_id_of(text)
    data = rogue.wait_for_message().data
    unfolded = re.sub(r"\r\n[ \t]+", " ", head_of(data))
    received = unfolded.split("\r\n")[0]
    assert re.fullmatch(
        rf"Received: from localhost \(authenticated\) by {HOSTNAME} with ESMTPSA "
        rf"\(TLSv1\.3 TLS_\w+\) id {queue_id}; \w\w\w, [\d ]?\d \w\w\w \d{{4}} \d\d:\d\d:\d\d [+-]\d{{4}}.*",
        received), received
    for secret in ("192.0.2.79", "laptop", "X-Originating-IP", "eve@"):
        assert secret not in unfolded, secret


def test_bcc_is_removed_and_the_rest_stays_as_it_was(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    headers = {"Bcc": "hidden@else.example,\r\n folded@else.example", "X-Odd": "  spaces  kept ",
               "bcc": "again@else.example"}
    data = deliver(gateway, lab, user, make_message(user.address, "bob@x.example", headers))
    assert b"hidden@" not in data and b"folded@" not in data and b"again@" not in data
    assert b"\r\nX-Odd:   spaces  kept \r\n" in data and b"bcc" not in head_of(data).lower().encode()


def test_a_missing_date_and_message_id_are_added(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    message = f"From: {user.address}\r\nSubject: bare\r\n\r\nbody\r\n".encode()
    head = head_of(deliver(gateway, lab, user, message))
    assert re.search(rf"^Message-ID: <[^<>@\s]+@{HOSTNAME}>\r?$", head, re.M | re.I), head
    assert len(re.findall(r"^Date: ", head, re.M)) == 1


def test_a_date_and_message_id_that_are_there_stay(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    head = head_of(deliver(gateway, lab, user, make_message(user.address, "bob@x.example", {
        "Message-ID": "<kept@client.example>", "Date": "Tue, 03 Nov 2026 11:00:00 +0100"})))
    assert "Message-ID: <kept@client.example>" in head and "Date: Tue, 03 Nov 2026 11:00:00 +0100" in head
    assert head.count("Message-ID:") == head.count("Date:") == 1


# The relay listener.

def test_the_relay_listener_takes_mail_of_anybody_without_auth(gateway: Sealpost) -> None:
    message = make_message("stranger@else.example", "x@site.example", {"Bcc": "kept?"})
    with gateway.connect(2525) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("auth") and smtp.has_extn("starttls")
    recipient = f"relay-{time.monotonic_ns()}@site.example"
    queue_id = gateway.relay("stranger@else.example", recipient, message)
    head = re.sub(r"\r\n[ \t]+", " ", head_of(gateway.mail_to(recipient).data))
    received = next(line for line in head.split("\r\n") if line.startswith("Received:") and queue_id in line)
    assert f"by {HOSTNAME} with ESMTP " in received and "authenticated" not in received


def test_the_relay_listener_says_esmtps_under_tls(gateway: Sealpost) -> None:
    recipient = f"relay-tls-{time.monotonic_ns()}@site.example"
    smtp = gateway.connect(2525)
    smtp.starttls(context=gateway.client_context())
    smtp.sendmail("stranger@else.example", recipient, make_message("stranger@else.example", recipient))
    smtp.quit()
    head = re.sub(r"\r\n[ \t]+", " ", head_of(gateway.mail_to(recipient).data))
    assert f"by {HOSTNAME} with ESMTPS " in head and "authenticated" not in head


def test_the_relay_listener_is_closed_to_strangers(make_gateway) -> None:
    gateway = make_gateway(Settings(relay={"trusted": ["10.0.0.0/8"]}))
    try:
        smtp = gateway.connect(2525)
        smtp.ehlo()
        code, _ = smtp.mail("stranger@else.example")
        assert code // 100 == 5
    except (smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected, ConnectionError):
        pass  # not even greeted: as good


# The configuration.

def check(gateway: Sealpost) -> subprocess.CompletedProcess:
    return subprocess.run([str(BUILD / "sealpostd"), "-t", "-c", str(gateway.config)], capture_output=True,
                          text=True, timeout=20)


def test_a_good_configuration_passes_the_check(gateway: Sealpost) -> None:
    result = check(gateway)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("line, words", [
    ("no_such_key = 1", "no_such_key"),
    ("workers = \"many\"", "workers"),
    ("shutdown_grace = \"soon\"", "shutdown_grace"),
    ("retry { first = \"5 parsecs\" }", "first"),
    ("guarantee { default_level = \"maybe\" }", "default_level"),
    ("limits { message_size = \"huge\" }", "message_size"),
    ("tls { certificate = \"/nonexistent.pem\" key = \"/nonexistent.key\" }", "/nonexistent"),
    ("policy \"x.example\" { tls = \"perhaps\" }", "tls"),
    ("route \"site.example\" { next_hop = \"[127.0.0.1]:24\" }", "site.example"),
])
def test_a_bad_configuration_names_file_and_line(make_gateway, line: str, words: str) -> None:
    gateway = make_gateway(start=False)
    text = gateway.config.read_text()
    gateway.config.write_text(text + line + "\n")
    number = len(text.splitlines()) + 1
    result = check(gateway)
    assert result.returncode == 1
    assert f"{gateway.config}:{number}:" in result.stderr and words in result.stderr, result.stderr


def test_a_route_across_the_network_without_tls_is_warned_of(make_gateway) -> None:
    gateway = make_gateway(Settings(routes={"x.example": {
        "next_hop": "[203.0.113.1]:25", "protocol": "smtp", "tls": "none"}}), start=False)
    result = check(gateway)
    assert result.returncode == 0 and "x.example" in result.stderr


# The end of the daemon.

def test_clients_that_never_finish_their_handshake_do_not_hold_up_the_end(make_gateway) -> None:
    gateway = make_gateway()
    with socket.create_connection((gateway.address, 465), 10), gateway.connect() as smtp:
        smtp.ehlo()
        assert smtp.docmd("STARTTLS")[0] == 220  # and no ClientHello
        time.sleep(0.5)  # the silent one has been accepted by then
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < 10  # shutdown_grace is 20 s
