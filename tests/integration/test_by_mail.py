"""Signing in by mail, with a real mail server: who comes in, who does not, and that nobody can tell them apart."""

from __future__ import annotations

import asyncio
import logging
import re
import statistics
import time
from typing import TYPE_CHECKING, Final

import pytest

from chatzilla.core.addresses import parse_address
from chatzilla.core.by_mail import (
    FOR_ADDRESS,
    FROM_NETWORK,
    FROM_NETWORK_FOR_ADDRESS,
    LASTS_SECONDS,
    OUTSTANDING,
)
from chatzilla.core.people import account_named
from chatzilla.core.policy import Role
from chatzilla.core.tries import TRIES, WINDOW_SECONDS
from chatzilla.mail import smtp
from tests.helpers.clock import ManualClock
from tests.helpers.house import open_house
from tests.helpers.mailed import DOMAIN, SENDER, Answer, MailTown, Surfer, mail_town
from tests.helpers.people import Town, town
from tests.helpers.post_office import PASSWORD, USER, post_office
from tests.helpers.tls_proxy import Certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ALICE: Final = f"alice@{DOMAIN}"
BOB: Final = f"bob@{DOMAIN}"
STRANGER: Final = "eve@elsewhere.example"
ANOTHER: Final = "Asked for elsewhere"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[MailTown]:
    async with mail_town(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[MailTown]:
    async with mail_town(tmp_path / "data", clock=clock, proxies=1) as opened:
        yield opened


def unnumbered(text: str) -> str:
    """A page without what was typed into it."""
    return re.sub(r"[\w.+-]+@[\w.-]+", "…", text)


async def no_mail_under_way(place: MailTown) -> None:
    """Prove silence: what was posted before a letter that arrived has been dealt with."""
    assert place.server.house.by_mail is not None
    fence = parse_address("fence@corp.example")
    place.server.house.by_mail.invite(account_named("Fence"), fence)
    assert (await place.office.next()).recipients == [fence]


async def test_whoever_reads_the_mail_comes_in(place: MailTown) -> None:
    """From the card to the room; the second time nobody is asked for a name."""
    alice = await place.browser()
    card = await alice.opens("/r/garden")
    assert 'action="/in"' in card.text
    assert 'name="room" value="garden"' in card.text
    asked = await alice.asks("  Alice@Corp.Example ", room="garden")
    assert (asked.status, ALICE in asked.text) == (200, True)
    mail = await place.office.next()
    assert (mail.sender, mail.recipients) == ("chat@chat.example.com", [ALICE])
    assert mail.message["From"] == SENDER
    assert mail.message["To"] == ALICE
    assert mail.message["Auto-Submitted"] == "auto-generated"
    host = place.server.url.removeprefix("http://")
    assert host in str(mail.message["Subject"])
    assert "15 minutes" in mail.text
    assert "If you did not ask" in mail.text
    assert mail.link.startswith(f"{place.server.url}/in/mail/")
    for _ in range(5):  # mail filters look, too
        page = await alice.opens(mail.link)
        assert (page.status, 'value="alice"' in page.text) == (200, True)
    entered = await alice.presses(mail.link, "Alice")
    assert (entered.status, entered.location) == (303, "/r/garden")
    me = await alice.me()
    assert me is not None
    assert (me["name"], me["verified"], me["role"]) == ("Alice", True, "member")

    phone = await place.browser()
    await phone.asks(ALICE)
    link = (await place.office.next()).link
    page = await phone.opens(link)
    assert "Sign in as <bdi>Alice</bdi>" in page.text
    assert (await phone.presses(link)).location == "/"
    assert (await phone.me() or {})["id"] == me["id"]


async def test_a_link_works_once_and_in_the_browser_that_asked(place: MailTown) -> None:
    alice, eve = await place.browser(), await place.browser()
    await alice.asks(ALICE)
    link = (await place.office.next()).link
    for answer in (await eve.opens(link), await eve.presses(link, "Eve")):
        assert (answer.status, ANOTHER in answer.text) == (403, True)
        assert 'action="/in"' in answer.text, "one can ask again there"
        assert ALICE not in answer.text
    await eve.asks(STRANGER)
    assert (await eve.presses(link, "Eve")).status == 403, "nor with a cookie of its own"
    assert (await alice.presses(link, "Alice")).status == 303, "nothing of that has used it up"
    for answer in (await alice.opens(link), await alice.presses(link, "Alice")):
        assert answer.status == 404
    assert await eve.me() is None


async def test_of_many_presses_one_counts(place: MailTown) -> None:
    alice = await place.browser()
    await alice.asks(ALICE)
    link = (await place.office.next()).link
    answers = await asyncio.gather(*(alice.presses(link, f"Alice {at}") for at in range(6)))
    assert sorted(answer.status for answer in answers) == [303] + [404] * 5


async def test_whoever_is_in_needs_no_other_link(place: MailTown) -> None:
    """Asked for twice, used once: the other one is over too."""
    alice = await place.browser()
    await alice.asks(ALICE)
    await alice.asks(ALICE)
    first, second = (await place.office.next()).link, (await place.office.next()).link
    assert (await alice.opens(first)).status == (await alice.opens(second)).status == 200
    assert (await alice.presses(second, "Alice")).status == 303
    assert (await alice.opens(first)).status == 404


async def test_a_quarter_of_an_hour(timed: MailTown, clock: ManualClock) -> None:
    alice = await timed.browser()
    await alice.asks(ALICE)
    link = (await timed.office.next()).link
    clock.advance(LASTS_SECONDS - 1)
    assert (await alice.opens(link)).status == 200
    clock.advance(1)
    for answer in (await alice.opens(link), await alice.presses(link, "Alice")):
        assert answer.status == 404


async def test_a_name_that_is_refused_uses_nothing_up(place: MailTown) -> None:
    await place.enters(BOB, "Bob")
    alice = await place.browser()
    await alice.asks(ALICE)
    link = (await place.office.next()).link
    wrong = {
        "B0b": 409,
        "": 400,
        " ": 400,
        "\u200d": 400,
        "x" * 300: 413,
        "boss@corp.example": 409,
        "a＠b.example": 409,
    }
    for name, status in wrong.items():
        answer = await alice.presses(link, name)
        assert (answer.status, 'id="name"' in answer.text) == (status, True), name
    assert (await alice.presses(link, ALICE)).status == 303, "one's own address is a name"


async def test_strangers_and_people_are_answered_alike(place: MailTown) -> None:
    """Known, of an allowed domain, invited, unknown: the same page; only the right ones get a mail."""
    async with town(place.server) as people:
        await place.enters(BOB, "Bob")
        await invited(people, "ina@elsewhere.example")
        pages = set()
        right = [ALICE, BOB, "ina@elsewhere.example"]
        wrong = [STRANGER, f"x@sub.{DOMAIN}", f"x@{DOMAIN}.evil.example", "x@xn--crp-5qa.example"]
        for address in wrong + right:
            browser = await place.browser()
            answer = await browser.asks(address)
            pages.add((answer.status, unnumbered(answer.text)))
        assert len(pages) == 1
        assert {(await place.office.next()).recipients[0] for _ in right} == set(right)
        await no_mail_under_way(place)


async def test_the_answer_does_not_wait_for_the_mail(place: MailTown) -> None:
    """The mail server has not said a word, and everybody is answered; then it does, and the mails come."""
    place.office.closed = True
    browser = await place.browser()
    assert (await browser.asks(ALICE)).status == 200
    assert (await browser.asks(STRANGER)).status == 200
    assert place.office.mails.empty()
    place.office.closed = False
    place.office.opened.set()
    assert (await place.office.next()).recipients == [ALICE]


@pytest.mark.alone
async def test_a_stopwatch_cannot_tell_who_is_known(tmp_path: Path) -> None:
    """Asked in turn, many times: the middle times of both differ by less than each varies by itself."""
    async with mail_town(tmp_path / "data", proxies=1) as place:
        await place.enters(ALICE, "Alice")
        browser = await place.browser()
        times: dict[str, list[float]] = {ALICE: [], STRANGER: []}
        for at in range(60):
            for address, measured in times.items():
                # Each from a network of its own, so that no rate is in the way.
                headers = {"X-Forwarded-For": f"10.{at}.0.{len(address)}"}
                browser.http.cookie_jar.clear()
                place.server.house.by_mail._addresses._by_key.clear()  # type: ignore[union-attr]  # it is there
                began = time.perf_counter()
                answer = await browser.posts("/in", {"email": address}, **headers)
                measured.append(time.perf_counter() - began)
                assert answer.status == 200
        known, unknown = (sorted(measured) for measured in times.values())
        spread = max(each[len(each) * 3 // 4] - each[len(each) // 4] for each in (known, unknown))
        assert abs(statistics.median(known) - statistics.median(unknown)) < spread + 0.001


async def test_invitations_are_for_one_address_once(place: MailTown) -> None:
    async with town(place.server) as people:
        olga = await people.enters("Olga", Role.OWNER)
        status, made = await olga.ask(
            "POST", "links", {"email": "Ina@Elsewhere.example", "role": "admin", "room": "den"}
        )
        assert (status, made["mailed"], made["url"]) == (201, True, f"{place.server.url}/")
        assert made["link"]["email"] == "ina@elsewhere.example"
        told = await place.office.next()
        assert (told.recipients, "Olga invites you" in told.text) == (["ina@elsewhere.example"], True)
        assert "/in/" not in told.text, "nothing in it lets anybody in"
        ina = await place.browser()
        await ina.asks("ina@elsewhere.example")
        answer = await ina.presses((await place.office.next()).link, "Ina")
        assert answer.location == "/r/den"
        assert (await ina.me() or {})["role"] == "admin"
        assert (await olga.ask("POST", "links", {"email": "ina@elsewhere.example"}))[0] == 409
        for wrong in (
            {"email": "x"},
            {"email": 5},
            {"email": BOB, "role": "guest", "room": "den"},
            {"email": BOB, "role": "bot"},
            {"email": BOB, "uses": 2},
        ):
            assert (await olga.ask("POST", "links", wrong))[0] == 400, wrong


async def test_an_invitation_that_was_taken_back_lets_nobody_in(place: MailTown) -> None:
    """Not even by a mail that was asked for before."""
    async with town(place.server) as people:
        olga = await people.enters("Olga", Role.OWNER)
        _, made = await olga.ask("POST", "links", {"email": STRANGER})
        await place.office.next()
        eve = await place.browser()
        await eve.asks(STRANGER)
        link = (await place.office.next()).link
        assert (await eve.opens(link)).status == 200
        assert (await olga.ask("DELETE", f"links/{made['link']['id']}"))[0] == 204
        assert (await eve.presses(link, "Eve")).status == 404
        assert await eve.me() is None


async def test_links_guests_and_bots_work_as_on_any_closed_server(place: MailTown) -> None:
    async with town(place.server) as people:
        olga = await people.enters("Olga", Role.OWNER)
        gus = await people.enters("Gus", Role.GUEST, "garden")
        bot = await people.enters("Robot", Role.BOT)
        for person in (olga, gus, bot):
            assert (await person.ask("GET", "me"))[0] == 200
        _, secret = await people.link()
        status, problem = await people.use(secret, "someone@corp.example")
        assert (status, "email address" in problem["detail"]) == (409, True), "an address is no name without a mail"


async def test_a_typed_name_never_becomes_a_verified_address(tmp_path: Path) -> None:
    """What was said under a name on an open server stays another person's when the server is closed later."""
    async with open_house(tmp_path / "data") as house:
        typed = await house.enter(ALICE)
        await typed.says("lobby", "I was here first")
        typed_id, token = typed.you["id"], typed.you["token"]
    async with mail_town(tmp_path / "data") as place:
        alice = await place.enters(ALICE, ALICE)
        me = await alice.me()
        assert me is not None
        assert (me["name"], me["id"] == typed_id) == (ALICE, False)
        async with alice.http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 401


async def test_people_by_mail_outlive_the_server_and_links_do_not(tmp_path: Path) -> None:
    async with mail_town(tmp_path / "data", domains=()) as place, town(place.server) as people:
        await invited(people, STRANGER)
        eve = await place.enters(STRANGER, "Eve")
        ident = (await eve.me() or {})["id"]
        await eve.asks(STRANGER)
        link = (await place.office.next()).link.removeprefix(place.server.url)
    async with mail_town(tmp_path / "data", domains=()) as place:
        again = await place.browser()
        assert (await again.opens(link)).status == 404
        eve = await place.enters(STRANGER)
        assert (await eve.me() or {})["id"] == ident


async def test_whoever_has_no_role_any_more_does_not_come_back_as_somebody_new(tmp_path: Path) -> None:
    """Neither by their domain nor by an invitation; also when it happens between the mail and the button."""
    async with mail_town(tmp_path / "data") as place:
        for address, name in ((ALICE, "Alice"), (BOB, "Bob")):
            await place.enters(address, name)
        with place.server.house.database.writing.begin() as connection:
            connection.exec_driver_sql("UPDATE accounts SET role = 'visitor' WHERE name = 'Alice'")
    async with mail_town(tmp_path / "data") as place, town(place.server) as people:
        await invited(people, ALICE)
        alice, bob = await place.browser(), await place.browser()
        assert (await alice.asks(ALICE)).status == 200
        await no_mail_under_way(place)
        await bob.asks(BOB)
        link = (await place.office.next()).link
        with place.server.house.database.writing.begin() as connection:
            connection.exec_driver_sql("DELETE FROM sign_ins")
            connection.exec_driver_sql("DELETE FROM accounts WHERE name = 'Bob'")
        assert (await bob.presses(link)).status == 404
        assert await bob.me() is None


# What must not be taken.

WRONG: Final = [
    "",
    " ",
    "alice",
    "alice@",
    "@corp.example",
    "alice@corp",
    "alice@@corp.example",
    "alice@corp.example, bob@corp.example",
    "alice@corp.example;bob@corp.example",
    "alice@corp.example bob@corp.example",
    "alice@corp.example\nBcc: eve@elsewhere.example",
    "alice@corp.example\r\nSubject: x",
    "alice@corp.example%0aBcc:eve@elsewhere.example",
    "alice\r\n@corp.example",
    "alice@corp.example\0",
    "alice@corp.example\t",
    "Alice <alice@corp.example>",
    "<alice@corp.example>",
    '"alice"@corp.example',
    '"a b"@corp.example',
    "alice(eve)@corp.example",
    "alice@[127.0.0.1]",
    "alice@127.0.0.1",
    "alice@corp.example.",
    "alice@.corp.example",
    "alice@corp..example",
    "alice@-corp.example",
    "alice@corp-.example",
    ".alice@corp.example",
    "alice.@corp.example",
    "al..ice@corp.example",
    "alice@corp_x.example",
    "al\u0456ce@corp.example",
    "alice@c\u043erp.example",
    "alice@corp.ex\u00e4mple",
    "alice@\uff43orp.example",
    "\u212aate@corp.example",
    "a\u200dlice@corp.example",
    "alice@corp.example\u2028",
    "a" * 65 + "@corp.example",
    f"a@{'b' * 64}.example",
    f"a@{'b.' * 130}example",
]


async def test_one_plain_address_or_nothing(place: MailTown) -> None:
    """Nothing that could be two addresses, a header or somebody else's; the typed text stays, as text."""
    browser = await place.browser()
    for typed in WRONG:
        answer = await browser.asks(typed)
        assert answer.status in (400, 413), typed
        assert 'action="/in"' in answer.text
    answer = await browser.asks('"><script>alert(1)</script>')
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text
    await no_mail_under_way(place)


@pytest.mark.parametrize("local", ["a", "a.b-c+d_e", "o'brien", "a=b/c?d", "x" * 64])
async def test_what_is_an_address_gets_its_mail(place: MailTown, local: str) -> None:
    browser = await place.browser()
    await browser.asks(f"{local}@{DOMAIN}")
    mail = await place.office.next()
    assert mail.recipients == [f"{local}@{DOMAIN}"]
    assert mail.message["To"] == f"{local}@{DOMAIN}"
    assert len(mail.message.items()) == len({name for name, _ in mail.message.items()})


async def test_a_page_elsewhere_asks_for_nobody_and_signs_nobody_in(place: MailTown) -> None:
    alice = await place.browser()
    await alice.asks(ALICE)
    link = (await place.office.next()).link
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert (await alice.posts("/in", {"email": BOB}, **headers)).status == 403
        assert (await alice.posts(link, {"name": "Alice"}, **headers)).status == 403
    assert (await alice.opens(link)).status == 200
    await no_mail_under_way(place)


async def test_a_forged_host_is_in_no_link(timed: MailTown) -> None:
    """Links begin with the address of the settings, and at another one there is no form, but the way to it."""
    browser = await timed.browser()
    forged = {"Host": "evil.example", "Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}
    page = await browser.opens("/", headers=forged)
    assert page.text.count('action="/in"') == 0
    assert f'href="{timed.server.url}/"' in page.text
    answer = await browser.posts("/in", {"email": ALICE}, **forged)
    assert answer.status == 403
    await browser.asks(ALICE)
    mail = await timed.office.next()
    assert mail.link.startswith(timed.server.url)
    assert b"evil" not in mail.raw


# How often.


async def test_one_network_asks_so_often(timed: MailTown, clock: ManualClock) -> None:
    """For one address, and for all; beyond, the same words for every address, and time heals it."""
    for address in (ALICE, STRANGER):
        for _ in range(FROM_NETWORK_FOR_ADDRESS.burst):
            assert (await asks_from("10.0.0.1", timed, address)).status == 200
        assert (await asks_from("10.0.0.1", timed, address)).status == 429
    for at in range(FROM_NETWORK.burst - 2 * FROM_NETWORK_FOR_ADDRESS.burst):
        assert (await asks_from("10.0.0.1", timed, f"x{at}@{DOMAIN}")).status == 200
    assert (await asks_from("10.0.0.1", timed, f"y@{DOMAIN}")).status == 429
    assert (await asks_from("10.0.0.2", timed, f"y@{DOMAIN}")).status == 200
    clock.advance(LASTS_SECONDS)
    assert (await asks_from("10.0.0.1", timed, ALICE)).status == 200


async def test_a_mailbox_is_not_flooded_and_its_person_is_not_locked_out(timed: MailTown) -> None:
    """However many networks ask for her: Alice's own browser still gets its mail."""
    alice = await timed.enters(ALICE, "Alice")
    sent = 1
    for at in range(40):
        sent += (await asks_from(f"10.0.{at}.1", timed, ALICE)).status == 200
    assert sent == FOR_ADDRESS.burst
    answer = await alice.asks(ALICE)
    assert answer.status == 200
    for _ in range(FOR_ADDRESS.burst - 1):
        await timed.office.next()
    assert (await alice.presses((await timed.office.next()).link)).status == 303


async def test_only_the_browser_that_was_there_is_counted_by_itself(timed: MailTown) -> None:
    """A stamp is for one person and one browser, and cannot be made up."""
    alice = await timed.enters(ALICE, "Alice")
    ((name, cookie),) = [
        (each.key, each.value) for each in alice.http.cookie_jar if each.key.startswith("chatzilla-browser")
    ]
    secret, _, stamp = cookie.partition(".")
    for at in range(40):
        await asks_from(f"10.0.{at}.1", timed, ALICE)
        await asks_from(f"10.0.{at}.1", timed, BOB)
    eve = await timed.browser()
    for forged in (f"{'x' * 22}.{stamp}", f"{secret}.{'x' * 43}", secret, f"{secret}.{stamp}x", f"{secret}..{stamp}"):
        assert (await eve.posts("/in", {"email": ALICE}, Cookie=f"{name}={forged}")).status == 429, forged
    assert (await eve.posts("/in", {"email": BOB}, Cookie=f"{name}={cookie}")).status == 429
    assert (await eve.posts("/in", {"email": ALICE}, Cookie=f"{name}={cookie}")).status == 200


async def test_guesses_at_links_are_counted_and_nobody_is_locked_out(timed: MailTown, clock: ManualClock) -> None:
    alice = await timed.browser()
    await alice.asks(ALICE)
    link = (await timed.office.next()).link
    for _ in range(TRIES):
        assert (await alice.opens(link[:-2] + "xx")).status == 404
    assert (await alice.opens(link)).status == 429
    elsewhere = await alice.opens(link, headers={"X-Forwarded-For": "10.9.9.9"})
    assert elsewhere.status == 200
    clock.advance(WINDOW_SECONDS - 1)
    assert (await alice.opens(link)).status in (404, 429)


async def test_what_was_asked_for_is_bounded(timed: MailTown, clock: ManualClock) -> None:
    by_mail = timed.server.house.by_mail
    assert by_mail is not None
    alice = await timed.enters(ALICE, "Alice")
    for at in range(OUTSTANDING + 5):
        by_mail._asked[f"filler {at}"] = next(iter(by_mail._asked.values()))
    assert (await asks_from("10.0.0.1", timed, BOB)).status == 503
    assert (await alice.asks(ALICE)).status == 200, "who was here before has room of their own"
    clock.advance(LASTS_SECONDS)
    assert (await asks_from("10.0.0.1", timed, BOB)).status == 200
    assert len(by_mail._asked) == 1


# The mail server.


async def test_what_fails_for_now_is_tried_again(timed: MailTown, clock: ManualClock) -> None:
    timed.office.refusals += ["451 4.3.0 later", "450 4.2.1 busy"]
    browser = await timed.browser()
    await browser.asks(ALICE)
    for delay in smtp.AGAIN_AFTER_SECONDS[:2]:
        await until(lambda: len(clock._timers) > 0 and waits(timed) == 1)
        clock.advance(delay)
    assert (await timed.office.next()).recipients == [ALICE]


async def test_what_is_refused_for_good_is_not(timed: MailTown, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    timed.office.refusals.append(f"550 5.1.1 <{ALICE}> unknown")
    browser = await timed.browser()
    await browser.asks(ALICE)
    await until(lambda: "refused by the mail server for good: SMTPRecipientsRefused 550" in caplog.text)
    assert waits(timed) == 0
    await browser.asks(BOB)
    assert (await timed.office.next()).recipients == [BOB]
    await until(lambda: "mail was sent" in caplog.text)
    for word in (ALICE, BOB, "alice", "/in/mail/", "unknown"):
        assert word not in "".join(line for line in caplog.text.splitlines(True) if "mail.log" not in line), word


async def test_a_dead_mail_server_is_seen_and_said(timed: MailTown, clock: ManualClock, tmp_path: Path) -> None:
    """In /healthz, in the log, and on the page; and a mail is given up when its link would be of no use."""
    house = timed.server.house
    browser = await timed.browser()
    assert await health(browser) == {"status": "ok", "mail": "ok"}
    assert "does not answer" not in (await browser.asks(STRANGER)).text
    assert house.mailer is not None
    house.mailer._server = type(house.mailer._server)("127.0.0.1", 1, "never")
    clock.advance(smtp.LOOK_EVERY_SECONDS)
    await until(lambda: house.mailer is not None and house.mailer.failing)
    assert await health(browser) == {"status": "ok", "mail": "failing"}
    pages = {unnumbered((await browser.asks(address)).text) for address in (ALICE, STRANGER)}
    assert len(pages) == 1
    assert "does not answer" in pages.pop()
    attempts = 0
    while house.mailer._held:
        await until(lambda: house.mailer is not None and (waits(timed) == house.mailer._held))
        clock.advance(60)
        attempts += 1
    assert 10 < attempts < 20
    house.mailer._server = type(house.mailer._server)("127.0.0.1", timed.office.port, "never")
    clock.advance(smtp.LOOK_AGAIN_SECONDS)
    await until(lambda: house.mailer is not None and not house.mailer.failing)


async def test_mails_that_wait_are_bounded(timed: MailTown) -> None:
    house = timed.server.house
    assert house.mailer is not None
    house.mailer._held += smtp.WAITING_AT_MOST
    assert (await asks_from("10.0.0.1", timed, ALICE)).status == 503
    assert (await asks_from("10.0.0.1", timed, STRANGER)).status == 503
    house.mailer._held -= smtp.WAITING_AT_MOST
    assert (await asks_from("10.0.0.1", timed, ALICE)).status == 200


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
async def test_mails_travel_by_tls_with_a_password(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    presented = certificate.presented()
    offered = post_office(tls=presented) if scheme == "smtps" else post_office(starttls=presented)
    async with offered as office:
        url = f"{scheme}://{USER}:p%40ss%2Fword%3A1@localhost:{office.port}"
        async with mail_town(tmp_path / "data", smtp_url=url) as place:
            browser = await place.browser()
            await browser.asks(ALICE)
            mail = await office.next()
            assert (mail.secure, mail.user, mail.recipients) == (True, USER, [ALICE])


@pytest.mark.parametrize(
    ("scheme", "served", "trusted", "password"),
    [
        ("smtps", "tls", False, PASSWORD),
        ("smtp", "starttls", False, PASSWORD),
        ("smtp", "", True, PASSWORD),
        ("smtps", "tls", True, "wrong"),
    ],
    ids=["a stranger's certificate", "the same by STARTTLS", "no STARTTLS", "a wrong password"],
)
async def test_nothing_is_sent_in_the_clear_or_to_a_stranger(
    scheme: str,
    served: str,
    trusted: bool,
    password: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    certificate = Certificate.make(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    presented = certificate.presented()
    tls, starttls = (presented if served == each else None for each in ("tls", "starttls"))
    async with post_office(tls=tls, starttls=starttls) as office:
        url = f"{scheme}://{USER}:{password.replace('@', '%40').replace('/', '%2F')}@localhost:{office.port}"
        async with mail_town(tmp_path / "data", smtp_url=url) as place:
            house = place.server.house
            await until(lambda: house.mailer is not None and house.mailer.failing)
            browser = await place.browser()
            await browser.asks(ALICE)
            await until(lambda: waits(place) == 1)
            assert office.mails.empty()
            assert password not in caplog.text
            assert "mail cannot be sent" in caplog.text


async def asks_from(network: str, place: MailTown, address: str) -> Answer:
    """A browser that was never here asks, from an address of its own."""
    browser = await place.browser()
    return await browser.posts("/in", {"email": address}, **{"X-Forwarded-For": network})


async def invited(people: Town, address: str) -> None:
    await people.link(email=address)


async def health(browser: Surfer) -> dict[str, str]:
    async with browser.http.get("/healthz") as answer:
        return {name: value for name, value in (await answer.json()).items() if name != "version"}


def waits(place: MailTown) -> int:
    """How many mails wait for their next attempt."""
    mailer = place.server.house.mailer
    assert mailer is not None
    return len(mailer._later)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
