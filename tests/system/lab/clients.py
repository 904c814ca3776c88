"""Mail clients of other people, each sending one message through a submission server."""

import subprocess
import tempfile
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from .process import wait_until
from .sealpost import Account, make_message

# Clients look the server up by its name in DNS, so the certificate is checked as in real life.


class Server(Protocol):
    """What a client is told of the server."""

    name: str
    ca_file: Path


def _run(argv: list[str], stdin: bytes = b"", env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=30,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(env or {})})


def _output(result: subprocess.CompletedProcess) -> str:
    return (result.stdout + result.stderr).decode(errors="replace")


def swaks(server: Server, user: Account, to: str, mechanism: str = "PLAIN", port: int = 587) -> str:
    tls = ["--tls-on-connect"] if port == 465 else ["--tls"]
    result = _run(["swaks", "--server", server.name, "--port", str(port), *tls, "--tls-verify",
                   "--tls-ca-path", str(server.ca_file), "--auth", mechanism,
                   "--auth-user", user.address, "--auth-password", user.password,
                   "--from", user.address, "--to", to, "--body", "by swaks"])
    assert result.returncode == 0, _output(result)
    return _output(result)


def curl(server: Server, user: Account, to: str, mechanism: str = "PLAIN", port: int = 587) -> str:
    url = f"smtps://{server.name}:465" if port == 465 else f"smtp://{server.name}:{port}"
    with tempfile.NamedTemporaryFile() as mail:
        mail.write(make_message(user.address, to, body="by curl\r\n"))
        mail.flush()
        result = _run(["curl", "-sSv", "--ssl-reqd", "--cacert", str(server.ca_file), "--url", url,
                       "--login-options", f"AUTH={mechanism}", "--user", f"{user.address}:{user.password}",
                       "--mail-from", user.address, "--mail-rcpt", to, "--upload-file", mail.name])
    assert result.returncode == 0, _output(result)
    return _output(result)


def msmtp(server: Server, user: Account, to: str, mechanism: str = "scram-sha-256", port: int = 587) -> str:
    result = _run(["msmtp", "--file=/dev/null", f"--host={server.name}", f"--port={port}", "--tls=on",
                   f"--tls-starttls={'off' if port == 465 else 'on'}",
                   f"--tls-trust-file={server.ca_file}", f"--auth={mechanism}",
                   f"--user={user.address}", f"--passwordeval=printf %s '{user.password}'",
                   f"--from={user.address}", "--debug", to],
                  stdin=make_message(user.address, to, body="by msmtp\r\n"))
    assert result.returncode == 0, _output(result)
    return _output(result)


def s_nail(server: Server, user: Account, to: str, mechanism: str = "plain", port: int = 587) -> str:
    scheme = "smtps" if port == 465 else "submission"
    login = f"{quote(user.address, safe='')}:{quote(user.password, safe='')}"
    with tempfile.TemporaryDirectory() as home:
        result = _run(["s-nail", "-:/", "-v", "-S", "v15-compat", "-S", f"mta={scheme}://{login}@{server.name}:{port}",
                       "-S", f"smtp-auth={mechanism}", "-S", "smtp-use-starttls",
                       "-S", f"tls-ca-file={server.ca_file}", "-S", "tls-ca-no-defaults",
                       "-S", "tls-verify=strict", "-S", f"from={user.address}", "-S", "sendwait", "-S", "DEAD=/dev/null",
                       "-s", "by s-nail", to], stdin=b"by s-nail\n", env={"HOME": home})
    assert result.returncode == 0, _output(result)
    return _output(result)


def gsasl(server: Server, user: Account, to: str, mechanism: str = "SCRAM-SHA-256-PLUS",
          port: int = 587) -> str:
    """gsasl logs in; what follows on its standard input is the SMTP dialogue, said step by step."""
    message = make_message(user.address, to, body="by gsasl\r\n")
    steps = [(f"MAIL FROM:<{user.address}>\r\n".encode(), "250 2.1.0"),
             (f"RCPT TO:<{to}>\r\n".encode(), "250 2.1.5"),
             (b"DATA\r\n", "354 "),
             (message + b".\r\n", "queued as")]
    # Left alone, gsasl takes a server without PLUS for a downgrade attack and refuses.
    binding = [] if mechanism.endswith("-PLUS") else ["--no-cb"]
    with tempfile.NamedTemporaryFile() as output:
        # gsasl polls the descriptor but reads through stdio: unbuffered, or it forgets lines.
        process = subprocess.Popen(
            ["stdbuf", "-i0", "gsasl", "--smtp", f"--connect={server.name}:{port}", f"--mechanism={mechanism}", *binding,
             f"--authentication-id={user.address}", f"--password={user.password}",
             f"--x509-ca-file={server.ca_file}", "--verbose"],
            stdin=subprocess.PIPE, stdout=output, stderr=output)

        def said(words: str) -> bool:
            return words in Path(output.name).read_text(errors="replace") or process.poll() is not None
        try:
            wait_until(lambda: said("Enter application data"), 10, "gsasl to log in")
            for line, reply in steps:
                assert process.poll() is None and process.stdin, Path(output.name).read_text()
                process.stdin.write(line)
                process.stdin.flush()
                wait_until(lambda: said(reply), 10, f"{reply!r} at gsasl")  # noqa: B023
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(10)
        text = Path(output.name).read_text(errors="replace")
    assert "queued as" in text, text
    return text
