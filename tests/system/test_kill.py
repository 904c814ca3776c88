"""kill -9 at random moments under load: what was answered 250 arrives, or is held or bounced, and is reported.

SYSTEM_TEST_KILLS=100 makes it long. A second delivery is legal only where the kill fell between the MX's 250 and the
gateway's commit; those are counted, shown, and each must lie beside a kill."""

import os
import random
import re
import smtplib
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass

from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import RogueMx, Script
from lab.sealpost import Account, Sealpost, queue_id_of

KILLS = int(os.environ.get("SYSTEM_TEST_KILLS", "10"))
TAG = re.compile(rb"^X-Tag: (\S+)", re.M)
BESIDE = 1.0  # seconds before a kill in which a delivery may have been seen by the MX and not be committed yet


@dataclass
class Accepted:
    tag: str
    kind: str  # what its recipient's host does: "takes", "refuses", "stops"
    queue_id: str


class Load:
    """Clients that send until told to stop, and know what was answered 250."""

    def __init__(self, gateway: Sealpost, users: dict[str, Account], recipients: dict[str, str]) -> None:
        self.gateway = gateway
        self.users = users
        self.recipients = recipients
        self.accepted: list[Accepted] = []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(4)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join(30)

    def run(self, number: int) -> None:
        sent = 0
        while not self.is_over.is_set():
            kind = random.choice(list(self.recipients))
            try:
                smtp = self.gateway.login(self.users[kind])
                for _ in range(random.randint(1, 5)):
                    sent += 1
                    self.send(smtp, f"{number}-{sent}", kind)
            except (OSError, smtplib.SMTPException, ssl.SSLError):
                time.sleep(0.05)  # the gateway is down: that is what this test is about

    def send(self, smtp: smtplib.SMTP, tag: str, kind: str) -> None:
        user = self.users[kind]
        body = "x" * random.choice([10, 4000, 150000])
        lines = "\r\n".join(body[i:i + 70] for i in range(0, len(body), 70))
        smtp.mail(user.address)
        smtp.rcpt(self.recipients[kind])
        code, text = smtp.data(f"From: {user.address}\r\nX-Tag: {tag}\r\nSubject: kill\r\n\r\n{lines}\r\n".encode())
        if code == 250:
            self.accepted.append(Accepted(tag, kind, queue_id_of(text)))


def tags_of(rogue: RogueMx) -> list[tuple[str, float, bytes]]:
    found = [(TAG.search(message.data), message) for message in list(rogue.messages)]
    return [(tag.group(1).decode(), message.arrived_at, message.data) for tag, message in found if tag]


def test_nothing_acknowledged_is_lost(make_gateway, lab: Lab) -> None:
    gateway: Sealpost = make_gateway()
    domains = {kind: lab.fresh("one") for kind in ("takes", "refuses", "stops")}
    takes = lab.rogue(domains["takes"].addresses[0], host=domains["takes"].hosts[0])
    lab.rogue(domains["refuses"].addresses[0], Script(rcpt="550 5.1.1 nobody here"), domains["refuses"].hosts[0])
    stops = lab.rogue(domains["stops"].addresses[0], Script(offers_starttls=False), domains["stops"].hosts[0])
    users = {kind: gateway.add_user(guarantee="on" if kind == "stops" else "") for kind in domains}
    load = Load(gateway, users, {kind: f"bob@{domain.name}" for kind, domain in domains.items()})
    kills: list[tuple[float, float]] = []  # asked for, and seen to be over
    load.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.1, 1.2))
        asked = time.monotonic()
        gateway.kill()
        kills.append((asked, time.monotonic()))
        gateway.start()
    time.sleep(0.5)
    load.stop()
    accepted = load.accepted
    wanted = {kind: {a.tag for a in accepted if a.kind == kind} for kind in domains}
    assert all(wanted.values()), "the load must reach every kind of host"

    def is_settled() -> bool:
        gateway.assert_healthy()
        return all(r["state"] == "held" for entry in gateway.queue() for r in entry["recipients"])
    wait_until(is_settled, 60, f"the queue to be empty but for held mail: {gateway.ask('status')}")

    ids = [a.queue_id for a in accepted]
    assert len(ids) == len(set(ids)), "an ID was used twice"
    arrived = Counter(tag for tag, _, _ in tags_of(takes))
    assert wanted["takes"] <= set(arrived), f"lost: {wanted['takes'] - set(arrived)}"
    twice = {tag for tag, count in arrived.items() if count > 1}
    for tag in twice:
        first, *others = sorted(at for name, at, _ in tags_of(takes) if name == tag)
        near = min(kills, key=lambda kill: abs(kill[0] - first))
        assert any(asked - BESIDE <= first <= over for asked, over in kills), \
            f"{tag} came at {first}, and again at {others}: far from any kill, the nearest at {near}"
    for tag, _, data in tags_of(takes):
        assert data.rstrip().endswith(b"x"), f"{tag} came torn"

    held = {entry["id"] for entry in gateway.held()}
    stopped = {a.queue_id for a in accepted if a.kind == "stops"}
    assert stopped <= held, f"neither held nor gone: {stopped - held}"
    assert not stops.messages and b"MAIL FROM" not in stops.said_in_clear()

    def reported(kind: str) -> Counter:
        return Counter(notice.about_message["X-Sealpost-Queue-ID"] for notice in gateway.notices_to(users[kind].address))
    for kind in ("refuses", "stops"):
        ids_of_kind = {a.queue_id for a in accepted if a.kind == kind}
        wait_until(lambda kind=kind, ids=ids_of_kind: ids <= set(reported(kind)), 20, f"all notices for {kind}")
    print(f"{len(kills)} kills, {len(accepted)} messages answered 250, {len(twice)} delivered twice beside a kill")
