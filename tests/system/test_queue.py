"""What must outlive a restart, and what time does to a queued message."""

import signal
import subprocess
import time

import pytest

from lab.expect import expect_delivered
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import SILENCE, Act, Script
from lab.sealpost import BUILD, Sealpost, Settings

SLOW_RETRY = {"first": "10m", "max": "4h", "lifetime": "5d", "warn_after": "4h"}


def test_sigterm_that_is_sent_again_and_again_changes_nothing(make_gateway) -> None:
    gateway = make_gateway()
    process = gateway.daemon.process
    end = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    assert process.returncode == 0
    assert gateway.events("stopping")


def test_a_queued_message_survives_a_restart(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    domain = lab.fresh("one")
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    gateway.wait_until_deferred(queue_id, f"bob@{domain.name}")
    gateway.stop()
    rogue = lab.rogue(domain.addresses[0])
    gateway.start()
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert b"The body is secret." in rogue.messages[0].data


def test_a_queued_message_survives_a_kill(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    domain = lab.fresh("one")
    user = gateway.add_user()
    ids = [gateway.submit(user, f"bob{n}@{domain.name}") for n in range(10)]
    gateway.kill()
    rogue = lab.rogue(domain.addresses[0])
    gateway.start()
    for number, queue_id in enumerate(ids):
        expect_delivered(gateway, queue_id, f"bob{number}@{domain.name}")
    assert len(set(ids)) == 10 and len(rogue.messages) == 10


def test_a_held_message_and_its_single_notice_survive_a_kill(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(offers_starttls=False))
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    gateway.wait_until_held(queue_id)
    gateway.kill()
    gateway.start()
    assert gateway.held_entry(queue_id)
    gateway.wait_for_notice(user.address)
    time.sleep(1.5)
    # The same one may have come twice: the kill may fall between the mailbox's 250 and our commit of it.
    assert len({notice.mail["Message-ID"] for notice in gateway.notices_to(user.address)}) == 1


def test_an_id_is_not_used_again_after_a_restart(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    user = gateway.add_user()
    seen = [gateway.submit(user, "local@site.example") for _ in range(3)]
    gateway.stop()
    gateway.start()
    seen += [gateway.submit(user, "local@site.example") for _ in range(3)]
    assert len(set(seen)) == 6


def test_a_deferred_message_is_retried_until_it_is_taken(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(rcpt=["450 4.2.0 later", "450 4.2.0 later", "250 2.1.5 ok"]))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    words = [event["disposition"] for event in gateway.dispositions(queue_id)]
    assert words == ["deferred", "deferred", "delivered"]


def test_queue_list_says_why_and_when_next(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(rcpt="450 4.2.0 greylisted"))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    found = gateway.wait_until_deferred(queue_id, f"bob@{domain.name}")
    entry = next(entry for entry in gateway.queue() if entry["id"] == queue_id)
    assert entry["sender"] == entry["user"] == user.address and entry["size"] > 100 and entry["arrived_at"]
    assert "greylisted" in found["reason"] and found["next_attempt_at"]
    assert queue_id in gateway.ctl("queue", "list").stdout
    assert gateway.ask("queue", "show", queue_id)
    gateway.ctl("queue", "remove", queue_id)
    assert gateway.ctl("queue", "show", queue_id, check=False).returncode == 1


def test_queue_retry_makes_a_message_due_now(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"retry": SLOW_RETRY}))
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(rcpt=["450 4.2.0 later", "250 2.1.5 ok"]))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    gateway.wait_until_deferred(queue_id, f"bob@{domain.name}")
    gateway.ctl("queue", "retry", queue_id)
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")


def test_a_message_that_cannot_be_delivered_in_its_lifetime_fails(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sections={"retry": {"lifetime": "4s", "warn_after": "3s"}}))
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(rcpt="450 4.2.0 never today"))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    gateway.wait_for_disposition(queue_id, f"bob@{domain.name}", "failed", 12)
    notices = wait_until(lambda: [n for n in gateway.notices_to(user.address) if n.subject.startswith("Undelivered")],
                         6, "the failure notice")
    fields = notices[-1].recipient(f"bob@{domain.name}")
    assert fields["Action"] == "failed" and "never today" in fields["Diagnostic-Code"], fields


@pytest.mark.parametrize("options, count", [([], 1), (["NOTIFY=FAILURE"], 0), (["NOTIFY=DELAY"], 1)],
                         ids=["default", "failure-only", "delay"])
def test_a_delay_notice_is_sent_once(make_gateway, lab: Lab, options: list[str], count: int) -> None:
    gateway = make_gateway(Settings(sections={"retry": {"warn_after": "2s"}}))
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(rcpt="450 4.2.0 later"))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}", rcpt_options=options)
    gateway.wait_until_deferred(queue_id, f"bob@{domain.name}")
    time.sleep(6)
    notices = gateway.notices_to(user.address)
    assert len(notices) == count
    for notice in notices:
        assert notice.subject == "Delayed Mail (still being retried)"
        fields = notice.recipient(f"bob@{domain.name}")
        assert fields["Action"] == "delayed" and fields["Status"].startswith("4.")
        assert fields["Will-Retry-Until"]


def test_a_stop_on_the_wire_finishes_what_it_began(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(data_end=Act("250 2.0.0 ok", delay=1.5)))
    user = gateway.add_user()
    gateway.submit(user, f"bob@{domain.name}")
    rogue.wait_for_message()
    gateway.stop()  # exits 0 within the grace
    gateway.start()
    time.sleep(2)
    assert len(rogue.messages) == 1, "it was delivered once"
    assert gateway.queue() == []


def test_lmtp_replies_read_before_the_end_of_the_grace_are_kept(make_gateway, lab: Lab) -> None:
    """One recipient is answered, the other is not by the time the daemon must end: only that one is sent again."""
    store = lab.rogue("203.0.113.26", Script(
        is_lmtp=True, data_end={"bob": "250 2.0.0 ok", "eve": [SILENCE, "250 2.0.0 ok"]}))
    gateway = make_gateway(Settings(
        sections={"top": {"shutdown_grace": "1s"}},
        routes={"lmtp.example": {"next_hop": "[203.0.113.26]:25", "protocol": "lmtp", "tls": "may"}}))
    user = gateway.add_user()
    queue_id = gateway.submit(user, ["bob@lmtp.example", "eve@lmtp.example"])
    store.wait_for_message("eve@lmtp.example")  # noted before it is answered, and after bob's reply
    assert not gateway.dispositions(queue_id), "the transaction is not over"
    gateway.stop()
    assert [event["to"] for event in gateway.dispositions(queue_id)] == ["bob@lmtp.example"]
    gateway.start()
    expect_delivered(gateway, queue_id, "eve@lmtp.example")
    time.sleep(1)
    assert [m.addresses[0].split("@")[0] for m in store.messages] == ["bob", "eve", "eve"]


def test_a_second_daemon_on_the_same_state_is_refused(gateway: Sealpost) -> None:
    second = subprocess.run([str(BUILD / "sealpostd"), "-c", str(gateway.config)], capture_output=True,
                            text=True, timeout=20)
    assert second.returncode != 0 and second.stderr
    gateway.assert_healthy()


def test_the_administrator_works_without_the_daemon(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(start=False)
    user = gateway.add_user(guarantee="on", language="de", aliases=["other@site.example"])
    shown = gateway.ask("user", "show", user.address)
    assert shown["address"] == user.address and shown["aliases"] == ["other@site.example"]
    assert shown["guarantee"] == "encrypt" and shown["language"] == "de" and shown["guarantee_until"] is None
    gateway.start()
    assert gateway.ask("user", "show", user.address) == shown
    gateway.submit(user, "local@site.example")
    status = gateway.ask("status")
    assert {"version", "uptime_seconds", "queued", "deferred", "held", "connections"} <= set(status)
    gateway.ctl("user", "remove", user.address)
    assert gateway.ctl("user", "show", user.address, check=False).returncode == 1
    assert gateway.ctl("no-such-command", check=False).returncode == 2
