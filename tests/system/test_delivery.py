"""Delivery: which host, over which address, with which words."""

import time

import pytest

from lab import net
from lab.expect import expect_deferred, expect_delivered, expect_failed, expect_stopped
from lab.laboratory import Lab
from lab.rogue_mx import CLOSE, Act, Script
from lab.sealpost import Sealpost, Settings, make_message
from lab.world import V6_LISTENER


def unique(user, domain: str) -> str:
    return f"{user.address.split('@')[0]}-delivery@{domain}"


# Finding the host.

def test_the_most_preferred_host_is_tried_first(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("plain")
    rogues = [lab.rogue(address) for address in domain.addresses]
    user = gateway.add_user()
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert [len(rogue.sessions) for rogue in rogues] == [1, 0, 0]


@pytest.mark.parametrize("greeting", [None, "421 4.3.2 busy", "554 5.3.2 no", CLOSE],
                         ids=["refused", "4xx", "5xx", "closed"])
def test_the_next_host_is_tried_where_one_fails(gateway: Sealpost, lab: Lab, greeting) -> None:
    domain = lab.fresh("plain")
    if greeting is not None:
        lab.rogue(domain.addresses[0], Script(greeting=greeting))
    second, third = lab.rogue(domain.addresses[1]), lab.rogue(domain.addresses[2])
    user = gateway.add_user()
    event = expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert second.messages and not third.sessions
    assert f"{domain.hosts[1]}[{domain.addresses[1]}]" in event["relay"]


def test_a_permanent_reply_ends_the_search(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("plain")
    lab.rogue(domain.addresses[0], Script(rcpt="550 5.1.1 no such user"))
    second = lab.rogue(domain.addresses[1])
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    notice = expect_failed(gateway, user, queue_id, f"bob@{domain.name}", "5.1.1", "smtp; 550 5.1.1 no such user")
    assert not second.sessions
    assert notice.recipient(f"bob@{domain.name}")["Remote-MTA"] == f"dns; {domain.hosts[0]}"


def test_hosts_of_equal_preference_share_the_work(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    firsts = 0
    for _ in range(12):
        domain = lab.fresh("equal")
        first, second = (lab.rogue(address) for address in domain.addresses)
        expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
        assert len(first.messages) + len(second.messages) == 1
        firsts += len(first.messages)
    assert 0 < firsts < 12, "shuffled: by chance alike once in 2,048"


@pytest.mark.parametrize("domain", [
    "implicit.example", "dual.example", "v6.example", "v6-dead.example", "dead-first.example",
    "blocked-first.example", "xn--bcher-kva.example", "host-insecure.example", "alias-expanded.example",
])
def test_a_real_host_is_found_and_used(gateway: Sealpost, lab: Lab, domain: str) -> None:
    user = gateway.add_user()
    recipient = unique(user, domain)
    event = expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    message = lab.postfix.wait_for_message(recipient)
    assert message.sender == user.address and event["tls"] == "TLSv1.3"
    if domain == "v6.example":
        assert V6_LISTENER in event["relay"]


def test_an_alias_for_a_whole_domain_is_followed(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    recipient = unique(user, "www.aliases.example")
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert lab.postfix.wait_for_message(recipient).addresses == [recipient]


def test_an_alias_loop_is_no_crash(gateway: Sealpost) -> None:
    user = gateway.add_user()
    queue_id = gateway.submit(user, "bob@loop.aliases.example")
    time.sleep(1)
    gateway.assert_healthy()
    gateway.ctl("queue", "remove", queue_id, check=False)


def test_a_unicode_domain_is_delivered_by_its_a_label(gateway: Sealpost, lab: Lab) -> None:
    """RCPT carries the A-label; a U-label needs SMTPUTF8 and is refused."""
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        smtp.send("RCPT TO:<bob@bücher.example>\r\n".encode())
        code, text = smtp.getreply()
    assert (code, text[:5]) == (553, b"5.6.7")


def test_no_preference_below_ourselves_is_used(gateway: Sealpost, lab: Lab) -> None:
    """We are the backup: the better host takes it."""
    user = gateway.add_user()
    recipient = unique(user, "backup-of-self.example")
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert lab.postfix.wait_for_message(recipient)


@pytest.mark.parametrize("recipient", ["bob@[127.0.0.1]", "bob@[IPv6:::1]", "bob@[IPv6:::ffff:127.0.0.1]"])
def test_blocked_addresses_are_never_connected_to(gateway: Sealpost, recipient: str) -> None:
    user = gateway.add_user()
    with gateway.login(user) as smtp:
        smtp.mail(user.address)
        code, _ = smtp.rcpt(recipient)
        if code != 250:
            assert 500 <= code < 600
            return
        smtp.rset()
    expect_failed(gateway, user, gateway.submit(user, recipient), recipient, "5.4.6")


def test_an_address_literal_is_delivered_to(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    recipient = f"bob@[{domain.addresses[0]}]"
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert rogue.messages[0].addresses == [recipient]


def test_ip_version_4_leaves_ipv6_alone(make_gateway) -> None:
    gateway = make_gateway(Settings(sections={"delivery": {"ip_version": "4"}}))
    user = gateway.add_user()
    queue_id = gateway.submit(user, unique(user, "v6.example"))
    expect_deferred(gateway, queue_id, unique(user, "v6.example"), attempts=1)


def test_the_source_address_follows_the_senders_domain(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(sources={"business.example": net.SECOND_SOURCE}))
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user(domain="business.example")
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert rogue.sessions[0].peer[0] == net.SECOND_SOURCE


# Routes.

def test_an_lmtp_route_delivers_into_dovecot(make_gateway, lab: Lab) -> None:
    dovecot = lab.dovecot({"bob@store.example": "x"})
    gateway = make_gateway(Settings(routes={"store.example": {
        "next_hop": f"[{net.DOVECOT_LMTP[0]}]:{net.DOVECOT_LMTP[1]}", "protocol": "lmtp", "tls": "none"}}))
    user = gateway.add_user(guarantee="on")
    queue_id = gateway.submit(user, ["bob@store.example", "nobody@store.example"])
    expect_failed(gateway, user, queue_id, "nobody@store.example", "5.1.1")
    message = dovecot.wait_for_message("bob@store.example")
    assert message["Return-Path"] == f"<{user.address}>"


def test_lmtp_replies_count_one_by_one_after_the_data(make_gateway, lab: Lab) -> None:
    store = lab.rogue("203.0.113.24", Script(
        is_lmtp=True, data_end={"bob": "250 2.0.0 ok", "eve": "552 5.2.2 full", "ann": "451 4.2.0 later"}))
    gateway = make_gateway(Settings(routes={"lmtp.example": {
        "next_hop": "[203.0.113.24]:25", "protocol": "lmtp", "tls": "may"}}))
    user = gateway.add_user()
    queue_id = gateway.submit(user, [f"{name}@lmtp.example" for name in ("bob", "eve", "ann")])
    gateway.wait_for_disposition(queue_id, "bob@lmtp.example", "delivered")
    assert gateway.wait_for_disposition(queue_id, "eve@lmtp.example", "failed")["status"] == "5.2.2"
    gateway.wait_until_deferred(queue_id, "ann@lmtp.example", attempts=2)
    assert [m.addresses[0].split("@")[0] for m in store.messages].count("bob") == 1
    assert "LHLO" in store.sessions[0].verbs()
    gateway.ctl("queue", "remove", queue_id)


def test_an_smtp_route_skips_the_mx_lookup(make_gateway, lab: Lab) -> None:
    hop = lab.rogue("203.0.113.25", Script())
    gateway = make_gateway(Settings(routes={"tls.example": {
        "next_hop": "[203.0.113.25]:25", "protocol": "smtp", "tls": "encrypt"}}))
    user = gateway.add_user()
    recipient = unique(user, "tls.example")
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    assert hop.messages[0].tls and not lab.postfix.messages_for(recipient)


def test_a_connection_of_a_named_route_does_not_serve_the_smarthost(make_gateway, lab: Lab) -> None:
    """The host satisfies level verified and its connection is kept; as the smarthost it still does not."""
    hop = lab.fresh("dane")
    rogue = lab.rogue(hop.addresses[0])
    route = {"next_hop": f"[{hop.hosts[0]}]:25", "protocol": "smtp", "tls": "encrypt"}
    gateway = make_gateway(Settings(sections={"top": {"workers": 1}}, routes={"named.example": route, "*": route}))
    user = gateway.add_user(guarantee="verified")
    event = expect_delivered(gateway, gateway.submit(user, "bob@named.example"), "bob@named.example")
    assert event["verified"] == "dane" and not rogue.sessions[0].is_over
    queue_id = gateway.submit(user, "bob@anywhere.example")
    expect_stopped(gateway, user, queue_id, "bob@anywhere.example", "5.7.30", "smarthost")
    assert [message.addresses for message in rogue.messages] == [["bob@named.example"]]


# The dialogue.

def test_several_recipients_of_a_domain_share_one_transaction(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    recipients = [f"r{n}@{domain.name}" for n in range(20)]
    queue_id = gateway.submit(user, recipients)
    gateway.wait_until_gone(queue_id)
    assert len(rogue.messages) == 1 and sorted(rogue.messages[0].addresses) == sorted(recipients)
    events = gateway.dispositions(queue_id)
    assert sorted(event["to"] for event in events) == sorted(recipients), "one line for each recipient"


def test_each_recipient_has_its_own_reply(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(rcpt={
        "bob": "250 2.1.5 ok", "eve": "550 5.1.1 no eve", "ann": ["450 4.2.0 later", "250 2.1.5 ok"]}))
    user = gateway.add_user()
    names = {name: f"{name}@{domain.name}" for name in ("bob", "eve", "ann")}
    queue_id = gateway.submit(user, list(names.values()))
    gateway.wait_for_disposition(queue_id, names["bob"], "delivered")
    gateway.wait_for_disposition(queue_id, names["ann"], "delivered")
    notice = gateway.wait_for_notice(user.address)
    assert [r["Final-Recipient"] for r in notice.recipients] == [f"rfc822; {names['eve']}"]
    assert [m.addresses for m in rogue.messages] == [[names["bob"]], [names["ann"]]]


def test_commands_are_pipelined_where_offered_and_only_there(gateway: Sealpost, lab: Lab) -> None:
    user = gateway.add_user()
    most = {}
    for offered in (True, False):
        domain = lab.fresh("one")
        extensions = ("PIPELINING", "8BITMIME") if offered else ("8BITMIME",)
        rogue = lab.rogue(domain.addresses[0], Script(extensions=extensions))
        queue_id = gateway.submit(user, [f"r{n}@{domain.name}" for n in range(5)])
        gateway.wait_until_gone(queue_id)
        most[offered] = max(read.count(b"RCPT TO") + read.count(b"MAIL FROM") for read in rogue.sessions[0].reads)
    assert most == {True: 6, False: 1}


def test_after_starttls_nothing_is_sent_before_the_second_ehlo_is_answered(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    session = rogue.sessions[0]
    assert session.verbs()[:6] == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"]
    assert session.commands()[0] == session.commands()[2] == "EHLO mail.example.org"


def test_lines_that_begin_with_a_dot_are_stuffed_once(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    body = ".\r\n..\r\n.hidden\r\nend.\r\n.\r\nlast\r\n"
    message = make_message(user.address, f"bob@{domain.name}", body=body)
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}", message), f"bob@{domain.name}")
    assert rogue.messages[0].data.endswith(body.encode())
    assert rogue.messages[0].raw.endswith(b"..\r\n...\r\n..hidden\r\nend.\r\n..\r\nlast\r\n.\r\n")


def test_a_large_message_arrives_byte_by_byte_the_same(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    body = "".join(f".{n:06d} " + "x" * 60 + "\r\n" for n in range(12000))
    message = make_message(user.address, f"bob@{domain.name}", body=body)
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}", message), f"bob@{domain.name}")
    assert rogue.messages[0].data.endswith(body.encode())


EIGHT_BIT = "Gr\u00fc\u00dfe\r\n"


def test_eight_bit_content_goes_where_it_is_taken(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    message = make_message(user.address, f"bob@{domain.name}", body=EIGHT_BIT)
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}", message), f"bob@{domain.name}")
    assert "BODY=8BITMIME" in rogue.messages[0].reverse_path
    assert EIGHT_BIT.encode().strip() in rogue.messages[0].data


@pytest.mark.parametrize("options", [[], ["BODY=7BIT"], ["BODY=8BITMIME"]], ids=["silent", "7bit", "8bit"])
def test_eight_bit_content_is_never_sent_to_a_host_without_8bitmime(gateway: Sealpost, lab: Lab,
                                                                    options: list[str]) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(extensions=("PIPELINING",)))
    user = gateway.add_user()
    message = make_message(user.address, f"bob@{domain.name}", body=EIGHT_BIT)
    queue_id = gateway.submit(user, f"bob@{domain.name}", message, mail_options=options)
    expect_failed(gateway, user, queue_id, f"bob@{domain.name}", "5.6.3")
    assert not rogue.messages


def test_seven_bit_content_goes_to_a_host_without_8bitmime_whatever_body_says(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(extensions=("PIPELINING",)))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}", mail_options=["BODY=8BITMIME"])
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    assert "BODY" not in rogue.messages[0].reverse_path


def test_a_message_larger_than_the_hosts_size_fails_without_being_sent(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(extensions=("SIZE 200",)))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_failed(gateway, user, queue_id, f"bob@{domain.name}", "5.3.4")
    assert not rogue.messages and "DATA" not in rogue.sessions[0].verbs()


def test_multi_line_replies_are_read_whole(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    script = Script(greeting="220-welcome\n220-to this\n220 host", mail="250-2.1.0 one\n250 2.1.0 two",
                    data_end=Act("250-2.0.0 one\n250 2.0.0 two", byte_delay=0.005))
    rogue = lab.rogue(domain.addresses[0], script)
    user = gateway.add_user()
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    assert len(rogue.messages) == 1


def test_all_lines_of_a_refusal_reach_the_notice(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(rcpt="550-5.7.1 first reason\n550 5.7.1 second reason"))
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    notice = expect_failed(gateway, user, queue_id, f"bob@{domain.name}", "5.7.1", "first reason")
    assert "second reason" in notice.recipient(f"bob@{domain.name}")["Diagnostic-Code"]


def test_a_connection_is_kept_for_the_next_message(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0], Script(data_end=Act("250 2.0.0 ok", delay=0.1)))
    user = gateway.add_user()
    ids = [gateway.submit(user, f"bob{n}@{domain.name}") for n in range(5)]
    for queue_id in ids:
        gateway.wait_until_gone(queue_id)
    assert len(rogue.messages) == 5 and len(rogue.sessions) < 5


def test_a_250_that_was_read_is_never_followed_by_a_second_delivery(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("plain")
    first = lab.rogue(domain.addresses[0], Script(data_end=Act("250 2.0.0 taken", then="reset")))
    second = lab.rogue(domain.addresses[1])
    user = gateway.add_user()
    expect_delivered(gateway, gateway.submit(user, f"bob@{domain.name}"), f"bob@{domain.name}")
    time.sleep(2.5)
    assert len(first.messages) == 1 and not second.messages


def test_the_dsn_parameters_are_passed_on_to_a_host_that_knows_them(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    rogue = lab.rogue(domain.addresses[0])
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}", mail_options=["RET=HDRS", "ENVID=QQ1"],
                              rcpt_options=["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;bob@{domain.name}"])
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    message = rogue.messages[0]
    assert "RET=HDRS" in message.reverse_path and "ENVID=QQ1" in message.reverse_path
    assert "NOTIFY=SUCCESS,FAILURE" in message.recipients[0]


def test_a_success_notice_is_ours_where_the_host_does_not_know_dsn(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(extensions=("PIPELINING", "8BITMIME")))
    user = gateway.add_user()
    gateway.submit(user, f"bob@{domain.name}", rcpt_options=["NOTIFY=SUCCESS"])
    notice = gateway.wait_for_notice(user.address)
    assert notice.subject == "Successful Mail Delivery Report"
    assert notice.recipient(f"bob@{domain.name}")["Action"] == "relayed"


def test_the_log_has_one_disposition_line_with_all_that_matters(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], host=domain.hosts[0])
    user = gateway.add_user()
    queue_id = gateway.submit(user, f"bob@{domain.name}")
    expect_delivered(gateway, queue_id, f"bob@{domain.name}")
    [event] = gateway.dispositions(queue_id)
    assert event["from"] == user.address and event["to"] == f"bob@{domain.name}"
    assert event["tls"] == "TLSv1.3" and event["cipher"].startswith("TLS_") and float(event["delay"]) < 10
    assert "250" in event["reply"]
    assert "The body is secret" not in gateway.log() and "keep private" not in gateway.log()
    assert user.password not in gateway.log()
