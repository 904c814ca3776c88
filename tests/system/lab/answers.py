"""What the gateway says of a destination before any mail is sent: `sealpostctl check`, and the answer at RCPT."""

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from .sealpost import Account, Sealpost

STATUS = {"deliverable": 0, "refused": 1, "unknown": 75}
TAKEN = (250, "2.1.5 Ok")
HOST_FIELDS = {"host", "preference", "address", "reachable", "starttls", "protocol", "cipher", "tlsa", "verified",
               "error"}


def check(gateway: Sealpost, domain: str, *options: str) -> dict:
    """What `check` says; its exit status must be the verdict's."""
    result = gateway.ctl("--json", "check", domain, *options, check=False)
    assert result.stdout, result.stderr
    found = json.loads(result.stdout)
    assert result.returncode == STATUS[found["verdict"]], (found, result.returncode)
    assert not result.stderr
    assert found["verdict"] == "deliverable" or re.match(r"[45]\.\d+\.\d+ \S", found["reason"]), found
    for host in found["hosts"]:
        assert HOST_FIELDS <= host.keys() and isinstance(host["reachable"], bool) and isinstance(host["starttls"], bool)
        assert host["tlsa"] in ("none", "insecure", "usable", "unusable", "error"), host
        assert host["verified"] in ("no", "dane", "sts", "pkix"), host
        assert bool(host["error"]) != host["acceptable"], host
    return found


def rcpt(gateway: Sealpost, user: Account, *recipients: str, sender: str | None = None) -> list[tuple[int, str]]:
    """What is answered to each of them in one transaction, which ends there."""
    smtp = gateway.login(user)
    try:
        code, text = smtp.mail(user.address if sender is None else sender)
        assert code == 250, text
        return [(code, text.decode()) for code, text in map(smtp.rcpt, recipients)]
    finally:
        smtp.close()


def all_of(work: Callable, items: Iterable) -> list:
    """Side by side, as most of it is waiting for hosts."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, items))
