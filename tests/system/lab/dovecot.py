"""A real Dovecot: LMTP into maildirs, and for the stand-in submission server a SASL socket."""

import email
import os
import pwd
import socket
from email.message import Message
from pathlib import Path

from . import net
from .process import Daemon, wait_until


class Dovecot:
    """One Dovecot of our own; any recipient at `domains` exists if it is in `users`."""

    def __init__(self, directory: Path, users: dict[str, str],
                 lmtp: tuple[str, int] = net.DOVECOT_LMTP) -> None:
        self.directory = directory
        self.auth_socket = directory / "run" / "auth-client"
        self._lmtp = lmtp
        self._config = directory / "dovecot.conf"
        self._daemon: Daemon | None = None
        (directory / "run").mkdir(parents=True)
        mail = directory / "mail"
        mail.mkdir()
        owner = pwd.getpwnam("mail")
        os.chown(mail, owner.pw_uid, owner.pw_gid)
        (directory / "users").write_text(
            "".join(f"{name}:{{PLAIN}}{password}::::::\n" for name, password in users.items()))
        self._config.write_text(self._render())

    def start(self) -> None:
        self._daemon = Daemon(["dovecot", "-F", "-c", str(self._config)], self.directory / "log")
        wait_until(self.auth_socket.exists, 10, "Dovecot")
        wait_until(lambda: _accepts(self._lmtp), 10, "Dovecot's LMTP")

    def stop(self) -> None:
        if self._daemon:
            self._daemon.stop()

    def messages_of(self, user: str) -> list[Message]:
        new = self.directory / "mail" / user / "new"
        return [email.message_from_bytes(path.read_bytes()) for path in sorted(new.glob("*"))]

    def wait_for_message(self, user: str, seconds: float = 10) -> Message:
        return wait_until(lambda: self.messages_of(user), seconds, f"mail in {user}'s maildir")[0]

    def _render(self) -> str:
        here = self.directory
        host, port = self._lmtp
        return f"""\
protocols = lmtp
base_dir = {here}/run
instance_name = sealpost-test
log_path = {here}/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-1 scram-sha-256
mail_location = maildir:{here}/mail/%u
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
default_internal_user = dovecot
default_login_user = dovenull
passdb {{
  driver = passwd-file
  args = {here}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {here}/users
  default_fields = uid=mail gid=mail home={here}/mail/%u
}}
service lmtp {{
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


def _accepts(where: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(where, 1) as connection:
            return connection.recv(100).startswith(b"220")
    except OSError:
        return False
