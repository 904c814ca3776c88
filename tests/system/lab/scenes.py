"""Situations that many tests begin with."""

from .expect import expect_stopped, not_offered
from .laboratory import Lab
from .rogue_mx import RogueMx, Script
from .sealpost import Account, Sealpost
from .world import FreshDomain

NO_TLS = {"offers_starttls": False}
TLS_454 = {"starttls": "454 4.7.0 not now"}


def clear_domain(lab: Lab) -> tuple[FreshDomain, RogueMx]:
    """A fresh domain whose one host has no TLS."""
    domain = lab.fresh("one")
    return domain, lab.rogue(domain.addresses[0], Script(**NO_TLS), domain.hosts[0])


def stop_one(gateway: Sealpost, lab: Lab, recipients: tuple[str, ...] = ("bob",)
             ) -> tuple[FreshDomain, RogueMx, Account, str]:
    """A message of a guaranteed user, held at a host without TLS."""
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, [f"{name}@{domain.name}" for name in recipients])
    gateway.wait_until_held(queue_id)
    return domain, rogue, user, queue_id


def expect_plain_stop(gateway: Sealpost, user: Account, queue_id: str, domain: FreshDomain) -> None:
    expect_stopped(gateway, user, queue_id, f"bob@{domain.name}", "5.7.4",
                   not_offered(domain.hosts[0], domain.addresses[0]))
