"""Mail: a message to a few people, over a mail server that somebody named.

The server's name is resolved and checked as a webhook's is, and the checked address is dialled.
All messages of an alert are one thread in the reader's mailbox. A password is never sent in the
clear: with one, and wherever the server offers it, the connection is encrypted first.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final

from driftline.errors import InvalidEndpoint
from monitor.alerts.guard import MAIL_PORTS, Network, Refused, checked, resolve, target_of
from monitor.alerts.http import MAX_ANSWER_BYTES, TIMEOUT_S, Resolve, resolved
from monitor.alerts.said import Said
from monitor.alerts.schedule import Answer

_DOMAIN: Final = "driftline.invalid"


class Mailer:
    """Sends messages to mail servers.

    Parameters
    ----------
    allow, timeout_s, resolve, tls
        As `monitor.alerts.http.Poster` has them.
    """

    def __init__(
        self,
        allow: Sequence[Network] = (),
        *,
        timeout_s: float = TIMEOUT_S,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow, self._timeout_s, self._resolve = tuple(allow), timeout_s, resolve
        self._tls = tls or ssl.create_default_context()

    def __call__(
        self, url: str, settings: Mapping[str, Any], password: str | None, said: Said
    ) -> Answer:
        """Send one message, and return what the server said; nothing is raised.

        The status is the server's reply code: 250 where it has taken the message.
        """
        try:
            return self._send(url, settings, password, said)
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            return Answer(status=code, body=_text(words))
        except smtplib.SMTPResponseException as error:
            return Answer(status=error.smtp_code, body=_text(error.smtp_error))
        except (TimeoutError, smtplib.SMTPServerDisconnected, ConnectionError) as error:
            return Answer(error=f"the mail server gave no answer: {_text(error)}")
        except (Refused, InvalidEndpoint, OSError, smtplib.SMTPException, ValueError) as error:
            return Answer(error=_text(error))

    def _send(
        self, url: str, settings: Mapping[str, Any], password: str | None, said: Said
    ) -> Answer:
        deadline_s = time.monotonic() + self._timeout_s
        target = target_of(url, MAIL_PORTS)
        addresses = resolved(self._resolve, target, deadline_s)
        checked(target, addresses, self._allow)
        connection = _dial([str(a) for a in addresses], target.port, deadline_s)
        # One that sends a byte a second never meets a socket's own time-out.
        alarm = threading.Timer(max(0.0, deadline_s - time.monotonic()), _cut, [connection])
        alarm.daemon = True
        alarm.start()
        try:
            if target.scheme == "smtps":
                connection = self._tls.wrap_socket(connection, server_hostname=target.host)
            with _Session(connection, target.host, self._timeout_s) as session:
                session.ehlo_or_helo_if_needed()
                user = settings.get("user")
                if target.scheme == "smtp" and (user or session.has_extn("starttls")):
                    session.starttls(context=self._tls)
                if user:
                    session.login(user, password or "")
                refused = session.send_message(mail_of(said, settings))
        finally:
            alarm.cancel()
            _cut(connection)
        not_for = (f"not for {who}: {_text(words)}" for who, (_, words) in refused.items())
        return Answer(status=250, body="; ".join(not_for))


class _Session(smtplib.SMTP):
    """A session over a connection that stands already."""

    def __init__(self, connection: socket.socket, host: str, timeout_s: float) -> None:
        super().__init__(local_hostname="driftline", timeout=timeout_s)
        # Where `connect` would put them; its name is what the certificate must be of.
        self.sock = connection
        self._host = host
        code, words = self.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)


def mail_of(said: Said, settings: Mapping[str, Any]) -> EmailMessage:
    """Return the mail that a message becomes."""
    mail = EmailMessage()
    mail["From"], mail["To"] = settings["from"], ", ".join(settings["to"])
    mail["Subject"] = f"[{said.word}] {said.summary}"[:200]
    mail["Date"] = formatdate(usegmt=True)
    mail["Message-ID"] = f"<{said.key}.{said.sequence}@{_DOMAIN}>"
    if said.sequence > 1:
        mail["In-Reply-To"] = mail["References"] = f"<{said.key}.1@{_DOMAIN}>"
    mail["Auto-Submitted"] = "auto-generated"
    parts = [said.summary]
    if said.lines and not said.is_over:
        parts.append("\n".join(f"- {line}" for line in said.lines))
    if said.url:
        parts.append(said.url)
    mail.set_content("\n\n".join(parts) + "\n")
    return mail


def _dial(addresses: Sequence[str], port: int, deadline_s: float) -> socket.socket:
    failed: OSError = OSError("the mail server has no address")
    for place, address in enumerate(addresses):
        share_s = (deadline_s - time.monotonic()) / (len(addresses) - place)
        try:
            connection = socket.create_connection((address, port), max(0.001, share_s))
        except OSError as error:
            failed = error
        else:
            connection.settimeout(max(0.001, deadline_s - time.monotonic()))
            return connection
    raise failed


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _text(words: object) -> str:
    said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
    return " ".join(said.split())[:MAX_ANSWER_BYTES].replace("\x00", "�")
