"""A notice (RFC 3464) as a test wants to read it."""

import email
import email.policy
from email.message import EmailMessage

from .rogue_mx import Message


class Notice:
    """The three parts of a delivery status notification, and the structure checked on the way."""

    def __init__(self, message: Message) -> None:
        self.envelope = message
        self.mail: EmailMessage = email.message_from_bytes(  # type: ignore[assignment]
            message.data, policy=email.policy.default)
        assert self.mail.get_content_type() == "multipart/report", message.data.decode()
        assert self.mail["Content-Type"].params["report-type"] == "delivery-status"
        parts = list(self.mail.iter_parts())
        assert len(parts) == 3, [part.get_content_type() for part in parts]
        assert parts[0].get_content_type() == "text/plain"
        assert parts[1].get_content_type() == "message/delivery-status"
        self.text: str = parts[0].get_content()
        self._blocks = _status_blocks(message.data)
        self.original_type = parts[2].get_content_type()
        self.original: str = _body_of(message.data, 2)

    @property
    def subject(self) -> str:
        return str(self.mail["Subject"])

    @property
    def about_message(self) -> dict[str, str]:
        """The per-message fields."""
        return self._blocks[0]

    @property
    def recipients(self) -> list[dict[str, str]]:
        """The per-recipient fields, one dictionary each."""
        return self._blocks[1:]

    def recipient(self, address: str) -> dict[str, str]:
        for fields in self.recipients:
            if fields["Final-Recipient"].split(";")[1].strip() == address:
                return fields
        raise AssertionError(f"{address} is not in the notice: {self.recipients}")

    def one_line_text(self) -> str:
        """The text part without its line breaks, for sentences that were wrapped."""
        return " ".join(self.text.split())


def _body_of(data: bytes, index: int) -> str:
    """A part's body as it was sent, decoded if it has a transfer encoding."""
    part = list(email.message_from_bytes(data).get_payload())[index]
    payload = part.get_payload()
    if isinstance(payload, list):  # message/rfc822 and message/delivery-status are parsed further
        return "\n".join(inner.as_string() for inner in payload)
    return part.get_payload(decode=True).decode("utf-8", "replace")


def _status_blocks(data: bytes) -> list[dict[str, str]]:
    part = list(email.message_from_bytes(data, policy=email.policy.compat32).get_payload())[1]
    blocks = []
    for block in part.get_payload():
        fields = {name: " ".join(str(value).split()) for name, value in block.items()}
        if fields:
            blocks.append(fields)
    return blocks
