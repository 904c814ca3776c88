"""TLS reports (RFC 8460) as somebody who collects them sees them."""

import email
import email.policy
import gzip
import json
from dataclasses import dataclass

from .https import Answer, Request, Site
from .laboratory import Lab
from .process import wait_until

GZIP_TYPE = "application/tlsrpt+gzip"


@dataclass
class Report:
    """One report: its JSON document, and how it came."""

    document: dict
    content_type: str
    headers: dict[str, str]  # of the request or of the mail, names in lower case

    def policy(self, kind: str) -> dict:
        """The entry about policies of that kind: "sts", "tlsa" or "no-policy-found"."""
        return next(entry for entry in self.document["policies"] if entry["policy"]["policy-type"] == kind)


class Collector:
    """Takes the reports about one domain by HTTPS: `rua=https://HOST/PATH`.

        collector = Collector(lab, "c1.collectors.example")
        lab.dns.set(f"_smtp._tls.{domain}", "TXT", f'"v=TLSRPTv1; rua={collector.url}"')
    """

    def __init__(self, lab: Lab, host: str, answers: list[Answer] | None = None) -> None:
        self.host = host
        self.url = f"https://{host}/v1/tlsrpt"
        self._web = lab.web
        self._earlier = len(lab.web.requests_for(host, "POST"))  # a test before may have had this host
        self.site = Site(lab.web_certificate(host), answers or [Answer(status=201)], paths=("/v1/tlsrpt",))
        lab.web.sites[host] = self.site

    @property
    def posts(self) -> list[Request]:
        return self._web.requests_for(self.host, "POST")[self._earlier:]

    def wait_for_report(self, count: int = 1, seconds: float = 10) -> Report:
        post = wait_until(lambda: self.posts[count - 1:], seconds, f"report {count} at {self.url}")[0]
        return Report(unpack(post.body, post.headers["content-type"]), post.headers["content-type"], post.headers)


def report_by_mail(lab: Lab, recipient: str, seconds: float = 15) -> Report:
    """The report that Postfix took for that address; its form (RFC 8460 section 5.3) is checked."""
    mail = email.message_from_bytes(lab.postfix.wait_for_message(recipient, seconds).data, policy=email.policy.default)
    assert mail.get_content_type() == "multipart/report", mail.as_string()
    assert mail["Content-Type"].params["report-type"] == "tlsrpt"
    assert mail["TLS-Report-Domain"] and mail["TLS-Report-Submitter"], mail.items()
    parts = list(mail.iter_parts())
    assert parts[0].get_content_type() == "text/plain"
    attached = parts[1]
    kind = attached.get_content_type()
    assert attached.get_filename(), "a report is attached under a name"
    headers = {name.lower(): str(value) for name, value in mail.items()}
    return Report(unpack(attached.get_payload(decode=True), kind), kind, {**headers, "filename": attached.get_filename()})


def unpack(content: bytes, content_type: str) -> dict:
    kind = content_type.split(";")[0].strip().lower()
    assert kind in (GZIP_TYPE, "application/tlsrpt+json"), content_type
    return json.loads(gzip.decompress(content) if kind == GZIP_TYPE else content)
