"""sealpostctl check: what it says of every kind of host, beside what delivery does and what posttls-finger says.

Whole tables are gone through at one go: probes wait for hosts, not for us.
"""

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from subprocess import CompletedProcess

import pytest

from lab.finger import finger
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import Script
from lab.scenes import NO_TLS, TLS_454
from lab.sealpost import Account, Sealpost
from lab.sts import Policy, sts_domain
from lab.world import DANE_CASES, DEAD_ADDRESS, LISTENERS, DaneCase
from test_guarantee import FACTS, HOSTS, NO_CIPHER, OLD_TLS

STATUS = {"deliverable": 0, "refused": 1, "unknown": 75}
# What delivery does where check says so; a 5xx of the destination fails, a stop holds.
ENDS = {"deliverable": {"delivered"}, "refused": {"held", "failed"}, "unknown": {"deferred"}}
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


def all_of(work: Callable, items: Iterable) -> list:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, items))


def first_end(gateway: Sealpost, user: Account, recipient: str) -> str:
    """Sends one message; what its first attempt came to."""
    queue_id = gateway.submit(user, recipient)
    events = wait_until(lambda: gateway.dispositions(queue_id, recipient), 40, f"a disposition of {recipient}")
    if events[0]["disposition"] == "deferred":
        gateway.ctl("queue", "remove", queue_id, check=False)
    return events[0]["disposition"]


def recipient_at(user: Account, domain: str) -> str:
    return f"{user.address.split('@')[0]}-check@{domain}"


def disagreements(gateway: Sealpost, checks: dict[str, dict], guarantee: str = "on") -> dict[str, tuple]:
    """Domains of which check says something else than what delivery does for a guaranteed sender."""
    user = gateway.add_user(guarantee=guarantee)
    ends = dict(zip(checks, all_of(lambda domain: first_end(gateway, user, recipient_at(user, domain)), checks)))
    return {domain: (found["verdict"], ends[domain], found["reason"]) for domain, found in checks.items()
            if ends[domain] not in ENDS[found["verdict"]]}


# Every TLSA case.

DANE_WANT = {
    "verified": ("deliverable", "dane", "usable"), "matched": ("deliverable", "encrypt", "usable"),
    "encrypted": ("deliverable", "encrypt", "unusable"), "none": ("deliverable", "encrypt", "none insecure"),
    "mismatch": ("refused", "encrypt", "usable"), "not-offered": ("refused", "none", "usable unusable"),
    "unknown": ("unknown", "none", "error"),
}
FINGER_WANT = {"verified": "verified", "mismatch": "mismatch", "not-offered": "not-offered", "unknown": "unknown"}


def dane_problem(case: DaneCase, found: dict, opinion: str) -> object:
    verdict, level, tlsa = DANE_WANT[case.want]
    host = found["hosts"][0]
    is_right = (found["verdict"] == verdict and found["level"] in (level, "verify" if level == "encrypt" else level)
                and host["tlsa"] in tlsa.split() and (host["verified"] == "dane") == (case.want == "verified")
                and opinion == FINGER_WANT.get(case.want, opinion) and (opinion == "verified") == (level == "dane"))
    return None if is_right else (case.want, found, opinion)


def test_every_dane_case_is_the_tables_delivery_s_and_posttls_fingers(gateway: Sealpost, lab: Lab) -> None:
    found = all_of(lambda case: check(gateway, case.domain), DANE_CASES)
    opinions = all_of(lambda case: finger(lab, case.domain)[0], DANE_CASES)
    wrong = {case.name: dane_problem(case, *rest) for case, *rest in zip(DANE_CASES, found, opinions)}
    assert not {name: problem for name, problem in wrong.items() if problem}
    checks = {case.domain: result for case, result in zip(DANE_CASES, found)}
    assert not disagreements(gateway, checks)


def test_every_dane_case_at_level_verified(gateway: Sealpost) -> None:
    found = all_of(lambda case: check(gateway, case.domain, "--level", "verified"), DANE_CASES)
    wrong = {case.name: (case.want, result) for case, result in zip(DANE_CASES, found)
             if (result["verdict"] == "deliverable") != (case.want == "verified")
             or (result["verdict"] == "unknown") != (case.want == "unknown")}
    assert not wrong
    assert not disagreements(gateway, {case.domain: result for case, result in zip(DANE_CASES, found)}, "verified")
