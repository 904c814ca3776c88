"""One destination, three answers: `sealpostctl check`, the reply at RCPT, and what delivery does. They agree.

    check        RCPT (at_rcpt = "probe")     delivery (at_rcpt = "off")
    deliverable  250                          delivered
    refused      550 5.7.x, the same words    held, the same words
    unknown      250, as doubt takes it       deferred

Where they differ on purpose is in DIFFERENT, with the reason. Two gateways know nothing of each other: one answers at
RCPT; the other checks, and delivers.
"""

import itertools
from dataclasses import dataclass, replace

from lab.answers import TAKEN, all_of, check, rcpt
from lab.finger import finger
from lab.https import Answer
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import Act, Script
from lab.scenes import NO_TLS
from lab.sealpost import Account, Sealpost, Settings
from lab.sts import Policy, StsDomain, sts_domain
from lab.world import DANE_CASES
from test_guarantee import FACTS, HOSTS
from test_sts import CASES, Case, build

LEVELS = ("on", "verified")
CHECKED_AS = {"on": "encrypt", "verified": "verified"}
REPLIES = {"deliverable": 250, "refused": 550, "unknown": 250}
ENDS = {"deliverable": "delivered", "refused": "held", "unknown": "deferred"}
# One attempt is all: nobody comes again, and patience does not end, while the table is gone through.
ONCE = {"retry": {"first": "1h", "max": "1h", "lifetime": "2d", "warn_after": "1d"}, "guarantee": {"patience": "4h"}}


@dataclass(frozen=True)
class Row:
    """A destination, and what check is to say of it for that level of the flag."""

    name: str
    domain: str
    level: str
    want: str

    @property
    def recipient(self) -> str:
        return f"{self.level}@{self.domain}"


@dataclass(frozen=True)
class Different:
    """The reply at RCPT, and the end, of a row where they are not those of REPLIES and ENDS."""

    reply: int
    end: str
    why: str


BOUNCES = "not the guarantee's: whoever has no flag gets this bounce, too, so RCPT leaves it to delivery"
TOO_SLOW = "RCPT waits three seconds for all of it, then it is doubt; check and delivery wait for the host"
LITERAL = "an address literal is the sender's own choice and is never looked at before"
DIFFERENT = {
    "null-mx.example": Different(250, "failed", BOUNCES),
    "nothing.example": Different(250, "failed", BOUNCES),
    "missing.org": Different(250, "failed", BOUNCES),
    "self.example": Different(250, "failed", BOUNCES),
    "blocked.example": Different(250, "failed", BOUNCES),
    "slow-greeting": Different(250, "held", TOO_SLOW),
    "slow-policy": Different(250, "held", TOO_SLOW),
    "[198.51.100.10]": Different(250, "held", LITERAL),
}
# Hosts that are refused here, and that Postfix's own client takes.
POSTFIX_TAKES = {
    "mx-no-san": "takes the common name where there are no DNS names; RFC 8461 section 4.2 knows DNS names alone",
    "tls-1.0-only": "its level encrypt begins with TLS 1.0, ours with 1.2",
    "tls-1.1-only": "its level encrypt begins with TLS 1.0, ours with 1.2",
    "bytes-behind-the-220": "drops the bytes and goes on; for us they are an attack",
}


@dataclass(frozen=True)
class Answers:
    """All three of one row; words begin with the status, and are empty where mail is taken or goes."""

    verdict: str
    reason: str
    reply: int
    reply_words: str
    end: str
    end_words: str

    def problem(self, row: Row) -> object:
        """None: they agree."""
        known = DIFFERENT.get(row.name) if self.verdict == "refused" else None
        reply, end = (known.reply, known.end) if known else (REPLIES[self.verdict], ENDS[self.verdict])
        do_words_agree = (self.reply_words == (self.reason if reply == 550 else "")
                          and self.end_words == (self.reason if end == "held" else "")
                          and ("held" != end or self.reason.startswith("5.7.")))
        is_right = (self.verdict, self.reply, self.end) == (row.want, reply, end) and do_words_agree
        return None if is_right else (row, self)


def by_level(rows: list[Row]) -> list[list[Row]]:
    """A few at a time, of one level each: they share a transaction, which spares logins."""
    few = [[row for row in rows if row.level == level] for level in LEVELS]
    return [of_level[begin:begin + 8] for of_level in few for begin in range(0, len(of_level), 8)]


def replies_to(probing: Sealpost, users: dict[str, Account], rows: list[Row]) -> dict[Row, tuple[int, str]]:
    chunks = by_level(rows)
    found = all_of(lambda chunk: rcpt(probing, users[chunk[0].level], *(row.recipient for row in chunk)), chunks)
    pairs = zip(itertools.chain(*chunks), itertools.chain(*found))
    return {row: (reply[0], "" if reply == TAKEN else reply[1]) for row, reply in pairs}


def ends_of(delivering: Sealpost, users: dict[str, Account], rows: list[Row]) -> dict[Row, tuple[str, str]]:
    """What the first attempt comes to. The log and the list of what is held are read for all at once."""
    all_of(lambda chunk: delivering.submit(users[chunk[0].level], [row.recipient for row in chunk]), by_level(rows))

    def all_ended() -> dict[str, str] | None:
        ended = {event["to"]: event["disposition"] for event in reversed(delivering.events("disposition"))}
        return ended if ended.keys() >= {row.recipient for row in rows} else None
    ended = wait_until(all_ended, 40, "the first attempt of every row")
    held = {one["address"]: f"{one['status']} {one['reason']}"
            for entry in delivering.held() for one in entry["recipients"]}
    return {row: (ended[row.recipient], held.get(row.recipient, "")) for row in rows}


def expect_agreement(make_gateway, rows: list[Row]) -> None:
    probing, delivering = make_gateway(Settings({"guarantee": {"at_rcpt": "probe"}})), make_gateway(Settings(ONCE))
    users = {gateway: {level: gateway.add_user(guarantee=level) for level in LEVELS}
             for gateway in (probing, delivering)}
    checks = all_of(lambda row: check(delivering, row.domain, "--level", CHECKED_AS[row.level]), rows)
    replies = replies_to(probing, users[probing], rows)
    ends = ends_of(delivering, users[delivering], rows)
    problems = {}
    for row, found in zip(rows, checks):
        answers = Answers(found["verdict"], found.get("reason") or "", *replies[row], *ends[row])
        problems[row.name, row.level] = answers.problem(row)
    assert not {name: problem for name, problem in problems.items() if problem}
    assert {found["verdict"] for found in checks} == set(REPLIES), "a table that shows all of it"


# Every TLSA case. posttls-finger is heard in test_dane.py and test_check.py.

def dane_want(want: str, level: str) -> str:
    if want == "unknown":
        return "unknown"
    is_enough = want == "verified" or (level == "on" and want in ("matched", "encrypted", "none"))
    return "deliverable" if is_enough else "refused"


def test_every_tlsa_case_has_one_answer(make_gateway) -> None:
    expect_agreement(make_gateway, [Row(case.name, case.domain, level, dane_want(case.want, level))
                                    for case in DANE_CASES for level in LEVELS])


# Every case of MTA-STS.

VERDICTS = {end: verdict for verdict, end in ENDS.items()}


def sts_case(lab: Lab, case: Case) -> StsDomain:
    return build(lab, replace(case, kind="sts-row") if case.kind == "sts" else case)


def test_every_policy_has_one_answer(make_gateway, lab: Lab) -> None:
    expect_agreement(make_gateway, [Row(case.name, one.name, level, VERDICTS[case.ends(level)])
                                    for case, one in [(case, sts_case(lab, case)) for case in CASES]
                                    for level in LEVELS])


def test_where_a_policy_is_in_force_posttls_finger_agrees_by_level_secure(lab: Lab) -> None:
    """Postfix knows no MTA-STS; a host that is listed comes to level secure with the host's name (GUARANTEE.md 6)."""
    cases = [case for case in CASES if case.name.startswith("mx-") or case.name == "txt-usual"]
    domains = [sts_case(lab, case) for case in cases]
    opinions = all_of(lambda one: finger(lab, one.name, "secure", one.domain.hosts[0])[0], domains)
    wrong = {case.name: (case.state, opinion) for case, opinion in zip(cases, opinions)
             if (opinion == "verified") != (case.state == "covers" or case.name in POSTFIX_TAKES)}
    assert not wrong


# What hosts show before mail is spoken of, and what DNS says of a domain.

SPEECH = {"mail", "rcpt", "data", "data_end", "ehlo_tls"}  # steps behind acceptable TLS, of which only delivery learns
WANT = {"deliver": "deliverable", "stop": "refused", "defer": "unknown", "patience": "unknown", "defer-long": "unknown"}


def shown(lab: Lab, name: str, pool: str, scripts: tuple[dict | None, ...], want: str) -> Row:
    domain = lab.fresh(pool)
    for address, host, script in zip(domain.addresses, domain.hosts, scripts):
        if script is not None:
            lab.rogue(address, Script(**script), host)
    return Row(name, domain.name, "on", want)


def rows_of_hosts(lab: Lab) -> list[Row]:
    tables = itertools.chain(((fact.name, "row", (fact.script,), fact.want) for fact in FACTS),
                             ((case.name, case.pool, case.scripts, case.want) for case in HOSTS))
    return [shown(lab, name, pool, scripts, WANT[want]) for name, pool, scripts, want in tables
            if not any(SPEECH & script.keys() for script in scripts if script)]


def test_what_hosts_show_has_one_answer(make_gateway, lab: Lab) -> None:
    rows = rows_of_hosts(lab)
    expect_agreement(make_gateway, rows)
    # posttls-finger looks at one host; of one that is in trouble it says nothing that is to be compared.
    names = {fact.name for fact in FACTS}
    rows = [row for row in rows if row.name in names and row.want != "unknown"]
    opinions = all_of(lambda row: finger(lab, row.domain, "encrypt")[0], rows)
    wrong = {row.name: (row.want, opinion) for row, opinion in zip(rows, opinions)
             if (opinion == "unauthenticated") != (row.want == "deliverable" or row.name in POSTFIX_TAKES)}
    assert not wrong


NAMED = {
    "null-mx.example": "refused", "nothing.example": "refused", "missing.org": "refused", "self.example": "refused",
    "blocked.example": "refused", "mx-bogus.example": "unknown", "mx-servfail.example": "unknown",
    "mx-no-address.example": "unknown", "mx-missing.example": "unknown", "host-bogus.example": "unknown",
    "dead.example": "unknown", "dead-first-plain.example": "unknown", "clear.example": "refused",
    "implicit.example": "deliverable", "dual.example": "deliverable", "dead-first.example": "deliverable",
    "blocked-first.example": "deliverable", "backup-of-self.example": "deliverable", "pkix.example": "deliverable",
}


def test_what_is_particular_to_a_domain_has_one_answer_or_a_reason(make_gateway, lab: Lab) -> None:
    rows = [Row(name, name, "on", want) for name, want in NAMED.items()]
    rows.append(Row("[198.51.100.10]", "[198.51.100.10]", "verified", "refused"))
    rows.append(shown(lab, "slow-greeting", "one", ({"greeting": Act("220 {host}", delay=3.5), **NO_TLS},), "refused"))
    slow = sts_domain(lab, answer=Answer(Policy(mx=("elsewhere.example",)).text("x.example"), delay=3.5))
    rows.append(Row("slow-policy", slow.name, "on", "refused"))
    expect_agreement(make_gateway, rows)
    assert DIFFERENT.keys() <= {row.name for row in rows}, "each difference that is written down is seen"
