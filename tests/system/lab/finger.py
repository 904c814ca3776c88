"""The second opinion: what Postfix's own TLS client says of a host."""

import re
import subprocess

from .laboratory import Lab


def finger(lab: Lab, domain: str, level: str = "dane", *names: str) -> tuple[str, str]:
    """Runs posttls-finger; returns its verdict in one word, and all it printed. Level `secure` wants the certificate to
    bear one of the names.

    verified         authenticated at that level
    matched          TLSA matched below an MX look-up that was not secure
    mismatch         TLSA exists and does not match
    unauthenticated  TLS, and nothing to authenticate it by
    not-offered, unknown
    """
    command = ["posttls-finger", "-l", level, "-L", "summary,verbose", "-t", "5", "-T", "5",
               "-d", "sha256", "-F", str(lab.web_ca_file), domain, *names]
    result = subprocess.run(command, capture_output=True, text=True, timeout=40,
                            env={"MAIL_CONFIG": str(lab.postfix.config), "PATH": "/usr/sbin:/usr/bin"})
    text = result.stdout + result.stderr
    return _verdict(text), text


def _verdict(text: str) -> str:
    if "Verified TLS connection established" in text:
        return "verified"
    if "Trusted TLS connection established" in text and "Matched DANE" in text:
        return "matched"
    if re.search(r"(Untrusted|Trusted|Anonymous) TLS connection established", text):
        is_usable = "DNSSEC-signed TLSA record" in text and "all TLSA records unusable" not in text
        return "mismatch" if is_usable else "unauthenticated"
    if "TLSA lookup error" in text:
        return "unknown"
    if "< 250" in text and "> STARTTLS" not in text:
        return "not-offered"
    return "no verdict"
