"""What a test expects of a message's end: on the wire, in the log, in the listings and in the notice."""

import re

from .notice import Notice
from .rogue_mx import RogueMx
from .sealpost import Account, Sealpost

# The words are pinned by INTERFACE.md.
NOT_OFFERED = r"^TLS is required, but was not offered by host {host}\[{address}\]$"


def expect_nothing_said_in_clear(*hosts: RogueMx) -> None:
    """No envelope and no content was ever sent outside TLS."""
    for host in hosts:
        clear = host.said_in_clear().upper()
        for word in (b"MAIL FROM", b"RCPT TO", b"DATA\r\n", b"SUBJECT", b"SECRET"):
            assert word not in clear, f"{word!r} in the clear:\n{host.transcript()}"
        assert all(message.tls for message in host.messages), host.transcript()


def expect_delivered(gateway: Sealpost, queue_id: str, recipient: str, seconds: float = 10) -> dict[str, str]:
    """Delivered once, and out of the queue. Returns the log's event."""
    event = gateway.wait_for_disposition(queue_id, recipient, "delivered", seconds)
    gateway.wait_until_gone(queue_id)
    assert gateway.held_entry(queue_id) is None
    return event


def expect_deferred(gateway: Sealpost, queue_id: str, recipient: str, attempts: int = 2) -> dict:
    """Deferred, tried again, and neither held nor reported. The message is removed afterwards."""
    found = gateway.wait_until_deferred(queue_id, recipient, attempts)
    assert gateway.held_entry(queue_id) is None
    events = gateway.dispositions(queue_id, recipient)
    assert {event["disposition"] for event in events} == {"deferred"}, events
    assert found["reason"], found
    gateway.ctl("queue", "remove", queue_id)
    return found


def expect_failed(gateway: Sealpost, user: Account, queue_id: str, recipient: str, status: str,
                  words: str = "") -> Notice:
    """Failed for good: the sender has the usual notice, nothing is held."""
    gateway.wait_for_disposition(queue_id, recipient, "failed")
    notice = gateway.wait_for_notice(user.address)
    fields = notice.recipient(recipient)
    assert fields["Action"] == "failed" and fields["Status"] == status, fields
    assert re.search(words, fields["Diagnostic-Code"]), fields
    assert "X-Sealpost-Held-ID" not in fields
    assert gateway.held_entry(queue_id) is None
    gateway.wait_until_gone(queue_id)
    return notice


def expect_stopped(gateway: Sealpost, user: Account, queue_id: str, recipient: str, status: str,
                   words: str, seconds: float = 8) -> Notice:
    """Held, logged and reported, everywhere with the same words."""
    entry = gateway.wait_until_held(queue_id, seconds)
    assert entry["sender"] == user.address and entry["user"] == user.address, entry
    held = next(r for r in entry["recipients"] if r["address"] == recipient)
    assert held["status"] == status, held
    assert re.search(words, held["reason"]), (words, held)
    event = gateway.wait_for_disposition(queue_id, recipient, "held")
    assert event["status"] == status, event
    notice = gateway.wait_for_notice(user.address)
    expect_stop_in_notice(notice, queue_id, recipient, status, held["reason"])
    return notice


def expect_stop_in_notice(notice: Notice, queue_id: str, recipient: str, status: str, reason: str) -> None:
    fields = notice.recipient(recipient)
    assert fields["Action"] == "failed" and fields["Status"] == status, fields
    assert fields["Diagnostic-Code"] == f"X-Sealpost; {reason}", (fields, reason)
    assert fields["X-Sealpost-Held-ID"] == queue_id, fields
    assert fields["X-Sealpost-Held-Until"], fields
    assert notice.subject == "Undelivered Mail Returned to Sender"
    assert recipient in notice.text
    assert reason in notice.one_line_text(), notice.text


def not_offered(host: str, address: str) -> str:
    return NOT_OFFERED.format(host=re.escape(host), address=re.escape(address))
