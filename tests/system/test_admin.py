"""What the administrator sets and is shown about promises: exceptions, dry run, MTA-STS policies; with the daemon and
without it."""

import json
import re
import time

from lab.expect import expect_delivered, expect_nothing_said_in_clear, not_offered
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import Script
from lab.scenes import NO_TLS, clear_domain
from lab.sealpost import Account, Sealpost, make_message
from lab.sts import Policy, sts_domain
from lab.world import FreshDomain


def stops(gateway: Sealpost, user: Account, domain: FreshDomain, name: str) -> None:
    queue_id = gateway.submit(user, f"{name}@{domain.name}")
    [held] = gateway.wait_until_held(queue_id)["recipients"]
    assert re.search(not_offered(domain.hosts[0], domain.addresses[0]), held["reason"]), held
    gateway.ctl("held", "drop", queue_id)


def test_an_exception_lifts_the_flag_for_its_domain_until_it_is_removed(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    other, other_rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on", aliases=["alias-of-exception@site.example"])
    gateway.ctl("exception", "add", "alias-of-exception@site.example", domain.name.upper(), "--until", "1h")
    [found] = gateway.ask("exception", "list", user.address)
    assert (found["user"], found["domain"]) == (user.address, domain.name) and found["until"] > found["set_at"]
    event = expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert event["tls"] == "none" and len(rogue.messages) == 1
    stops(gateway, user, other, "bob")
    expect_nothing_said_in_clear(other_rogue)
    assert f"{domain.name}" in gateway.ctl("exception", "list").stdout
    shown = gateway.ctl("exception", "add", user.address, domain.name).stdout
    assert f"it replaces the one until {found['until'].replace('T', ' ')}" in shown
    gateway.ctl("exception", "remove", user.address, domain.name)
    assert gateway.ask("exception", "list", user.address) == []
    stops(gateway, user, domain, "eve")
    assert len(rogue.messages) == 1


def test_an_exception_that_has_ended_lifts_nothing(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    gateway.ctl("exception", "add", user.address, domain.name, "--until", "1s")
    wait_until(lambda: gateway.ask("exception", "list", user.address) == [], 5, "the end of the exception")
    stops(gateway, user, domain, "bob")
    expect_nothing_said_in_clear(rogue)


def test_an_exception_with_a_dot_is_for_the_domains_below(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    gateway.ctl("exception", "add", user.address, "." + domain.name.split(".", 1)[1])
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert len(rogue.messages) == 1


def test_an_exception_lifts_no_policy_of_the_destination(gateway: Sealpost, lab: Lab) -> None:
    domain = sts_domain(lab, mx=[Script(**NO_TLS)])
    user = gateway.add_user(guarantee="on")
    gateway.ctl("exception", "add", user.address, domain.name)
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    gateway.wait_until_deferred(queue_id, f"bob@{domain.name}")
    gateway.ctl("queue", "remove", queue_id)
    expect_nothing_said_in_clear(domain.hosts[0])


def test_a_dry_run_delivers_and_reports_what_it_would_have_stopped(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="dry-run")
    shown = gateway.ask("user", "show", user.address)
    assert (shown["guarantee"], shown["dry_run"], shown["dry_run_level"]) == ("off", True, "encrypt")
    recipient = f"bob@{domain.name}"
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert len(rogue.messages) == 1 and not gateway.notices_to(user.address)
    sure = f"{user.address.split('@')[0]}-dry-run@tls.example"
    expect_delivered(gateway, gateway.submit(user, sure), sure)
    [finding] = wait_until(lambda: gateway.ask("report", "dry-run", user.address), 5, "the finding")
    assert (finding["user"], finding["recipient"], finding["status"]) == (user.address, recipient, "5.7.4")
    assert "was not offered by host " + domain.hosts[0] in finding["reason"]
    assert recipient in gateway.ctl("report", "dry-run").stdout
    gateway.ctl("guarantee", user.address, "on")
    stops(gateway, user, domain, "eve")
    assert len(gateway.ask("report", "dry-run", user.address)) == 1


def test_a_dry_run_of_verified_asks_for_more(gateway: Sealpost) -> None:
    user = gateway.add_user()
    gateway.ctl("guarantee", user.address, "dry-run", "verified")
    recipient = f"{user.address.split('@')[0]}-dry-run@tls.example"
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    [finding] = wait_until(lambda: gateway.ask("report", "dry-run", user.address), 5, "the finding")
    assert finding["status"] == "5.7.5", finding


def test_a_lock_holds_through_a_level_for_a_while(gateway: Sealpost, lab: Lab) -> None:
    domain, rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on", locked=True)
    recipient = f"bob@{domain.name}"

    def override() -> str:
        return gateway.submit(user, recipient, make_message(user.address, recipient, {"TLS-Required": "No"}))
    shown = json.loads(gateway.ctl("--json", "guarantee", user.address, "verified", "--for", "10m").stdout)
    assert shown["guarantee_until"] and shown["guarantee_locked"] and not shown["lock_removed"]
    queue_id = override()
    gateway.wait_until_held(queue_id)
    gateway.ctl("held", "drop", queue_id)
    expect_nothing_said_in_clear(rogue)
    # For good and without --locked it is taken away, and not without a word.
    assert "not locked any more: the user may lower it" in gateway.ctl("guarantee", user.address, "on").stdout
    expect_delivered(gateway, override(), recipient)
    assert len(rogue.messages) == 1 and rogue.messages[0].tls is None


def test_what_nobody_has_is_told_from_what_is_not_there(gateway: Sealpost, lab: Lab) -> None:
    domain, _rogue = clear_domain(lab)
    user = gateway.add_user(guarantee="on")
    for command in (("held", "list", "--user"), ("report", "dry-run")):
        assert gateway.ask(*command, user.address) == []
        wrong = gateway.ctl(*command, "x" + user.address, check=False)
        assert (wrong.returncode, wrong.stdout) == (1, "") and "no such user" in wrong.stderr
    # Who was removed may still have mail here.
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    gateway.wait_until_held(queue_id)
    gateway.ctl("user", "remove", user.address)
    assert [entry["id"] for entry in gateway.ask("held", "list", "--user", user.address)] == [queue_id]
    gateway.ctl("held", "drop", queue_id)
    assert gateway.ctl("held", "list", "--user", user.address, check=False).returncode == 1


def test_policies_are_listed_and_purged(gateway: Sealpost, lab: Lab) -> None:
    domain = sts_domain(lab)
    user = gateway.add_user(guarantee="verified")
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")

    def kept() -> dict | None:
        return next((policy for policy in gateway.ask("sts", "list") if policy["domain"] == domain.name), None)
    policy = wait_until(kept, 5, "the policy in the list")
    assert (policy["mode"], policy["id"], policy["expired"]) == ("enforce", "1", False)
    assert policy["mx"] == list(domain.domain.hosts)
    assert f"{domain.name}: enforce" in gateway.ctl("sts", "list").stdout
    # Withdrawn, the domain is still bound; purged, it is not.
    domain.announce()
    time.sleep(1.5)  # the TTL of the announcement
    gateway.ctl("check", domain.name, "--level", "verified")
    assert gateway.ask("sts", "purge", domain.name)["kept"]
    assert kept() is None
    found = gateway.ctl("--json", "check", domain.name, "--level", "verified", check=False)
    assert found.returncode == 1 and json.loads(found.stdout)["hosts"][0]["sts"] == "none"
    # And that there was none is forgotten, too; what the resolver remembers it remembers for its TTL.
    domain.publish(Policy(), id="2")
    time.sleep(2.5)
    assert gateway.ctl("check", domain.name, "--level", "verified", check=False).returncode == 1
    assert not gateway.ask("sts", "purge", domain.name)["kept"]

    def is_found() -> bool:
        gateway.ctl("sts", "purge", domain.name)
        return gateway.ctl("check", domain.name, "--level", "verified", check=False).returncode == 0
    wait_until(is_found, 8, "the policy to be found anew")


def test_without_the_daemon_the_store_says_and_takes_the_same(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    user = gateway.add_user(guarantee="on")
    domain = sts_domain(lab)
    gateway.ctl("check", domain.name)
    wait_until(lambda: gateway.ask("posture", domain.name) and gateway.ask("sts", "list"), 5, "what was learnt")
    commands = (("posture",), ("sts", "list"), ("exception", "list"), ("report", "dry-run"))
    gateway.ctl("exception", "add", user.address, "clear.example")
    running = [gateway.ask(*command) for command in commands]
    gateway.stop()
    assert [gateway.ask(*command) for command in commands] == running
    assert "when sealpostd starts" in gateway.ctl("queue", "retry").stdout
    gateway.ctl("exception", "add", user.address, "plain.example", "--until", "2099-12-31")
    gateway.ctl("user", "set", user.address, "--receipts")
    gateway.ctl("guarantee", user.address, "dry-run", "--for", "1h")
    assert gateway.ask("sts", "purge", domain.name)["kept"]
    gateway.start()
    assert gateway.ask("sts", "list") == []
    assert [entry["domain"] for entry in gateway.ask("exception", "list")] == ["clear.example", "plain.example"]
    shown = gateway.ask("user", "show", user.address)
    assert shown["receipts"] and shown["dry_run"] and shown["guarantee_until"]
    status = gateway.ask("status")
    assert (status["breaker"], status["breaker_open"], status["downgrades"]) == ("closed", False, 0)
