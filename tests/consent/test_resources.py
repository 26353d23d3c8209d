"""Resources of a receipt: one account of several, under a name of the link's own; taken out at once, added if given."""

from collections.abc import Callable

import pytest
from story import TERMS, Ledger, receipt, tell

from tallystick_consent.claims.pairwise import resource_id
from tallystick_consent.decide import Ask, Permit, decide
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.events import CATALOGUE, data_class_of
from tallystick_consent.receipts.receipt import Receipt, Terms, parse_terms
from tallystick_consent.receipts.resources import RESOURCES_MAX, Resource, kinds_in, resource_of
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.receipts.versions import answers, difference, extent_of, narrowed, picked, widens
from tallystick_consent.replay import ConsentReplay

K_NODE, K_LINK = b"n" * 32, b"l" * 32


def account(name: str) -> Resource:
    return Resource(kind="account", id=resource_id(K_NODE, k_link=K_LINK, kind="account", name=name))


CHECKING, SAVINGS, OTHER = account("checking-4821"), account("savings-7730"), account("other")
BOTH = picked(TERMS, [SAVINGS, CHECKING, SAVINGS])
ALL = parse_terms({**BOTH.document(), "version": 2, "previous": BOTH.digest(), "resources": None})


def after(before: Terms, *resources: Resource) -> Terms:
    """Return the next version, about these resources."""
    following = {"version": before.version + 1, "previous": before.digest()}
    return picked(parse_terms({**before.document(), **following, "resources": None}), resources)


def test_terms_about_all_there_is_have_the_digest_that_they_always_had() -> None:
    assert "resources" not in TERMS.document()
    assert "resources" not in receipt("given")
    assert BOTH.digest() != TERMS.digest()


def test_a_name_tells_two_links_and_two_issuers_nothing() -> None:
    named = {"kind": "account", "name": "checking-4821"}
    names = {
        resource_id(K_NODE, k_link=K_LINK, **named),
        resource_id(K_NODE, k_link=b"m" * 32, **named),
        resource_id(b"o" * 32, k_link=K_LINK, **named),
        resource_id(K_NODE, k_link=K_LINK, kind="source", name="checking-4821"),
        resource_id(K_NODE, k_link=K_LINK, kind="account", name="checking-4822"),
    }
    assert len(names) == 5
    assert not any("4821" in each for each in names)


def test_resources_stand_once_each_in_one_order() -> None:
    assert picked(TERMS, [CHECKING, SAVINGS]) == BOTH
    told = BOTH.document()["resources"]
    for spelt in ([*told][::-1], [*told, told[-1]], [], [account(str(each)).model_dump() for each in range(65)]):
        with pytest.raises(ReceiptRejected):
            parse_terms({**TERMS.document(), "resources": spelt})
    assert len(picked(TERMS, [account(str(each)) for each in range(RESOURCES_MAX)]).resources or ()) == RESOURCES_MAX


def test_a_subject_takes_one_account_out_and_the_difference_says_which() -> None:
    less = narrowed(BOTH, without_resources=frozenset({CHECKING.id}))
    assert (less.version, less.previous, less.resources) == (2, BOTH.digest(), (SAVINGS,))
    assert difference(BOTH, less) == (f"No longer: account {CHECKING.id}.",)
    assert difference(less, after(less, SAVINGS, OTHER)) == (f"New: account {OTHER.id}.",)
    only = narrowed(TERMS, resources=[CHECKING])
    assert difference(TERMS, only) == (f"Only: account {CHECKING.id}.",)
    assert difference(BOTH, ALL) == ("New: all there is, and no longer single resources alone.",)


@pytest.mark.parametrize(
    ("terms", "asked", "code"),
    [
        (TERMS, {"without_resources": frozenset({CHECKING.id})}, "resources_unnamed"),
        (BOTH, {"without_resources": frozenset({OTHER.id})}, "version_widens"),
        (BOTH, {"resources": [CHECKING, OTHER]}, "version_widens"),
        (BOTH, {"without_resources": frozenset({CHECKING.id, SAVINGS.id})}, "receipt_malformed"),
    ],
)
def test_what_takes_no_resource_out_is_refused(terms: Terms, asked: dict[str, object], code: str) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        narrowed(terms, **asked)  # type: ignore[arg-type]
    assert refused.value.code == code


def test_one_account_more_or_all_of_them_widens_and_one_less_does_not() -> None:
    def permits_more(before: Terms, now: Terms) -> bool:
        return widens(extent_of(before), extent_of(now))

    assert permits_more(BOTH, ALL)
    assert permits_more(BOTH, after(BOTH, CHECKING, OTHER))
    assert not permits_more(BOTH, after(BOTH, CHECKING))
    assert not permits_more(TERMS, BOTH)


def test_what_is_given_is_what_was_asked_or_that_about_fewer_resources() -> None:
    assert answers(asked=TERMS, given=BOTH)
    assert not answers(asked=BOTH, given=TERMS)
    assert not answers(asked=TERMS, given=parse_terms({**BOTH.document(), "retention_s": 1}))
    with pytest.raises(ReceiptRejected) as refused:
        picked(BOTH, [OTHER])
    assert refused.value.code == "version_widens"


def test_a_permit_names_the_resources_and_nothing_where_all_is_permitted() -> None:
    ask = Ask(
        TERMS.issuer,
        TERMS.recipient,
        TERMS.program,
        1,
        TERMS.purposes[0],
        frozenset({"visit"}),
        "predicate",
        TERMS.events_from_s,
        TERMS.events_until_s,
    )
    for terms, resources in ((TERMS, None), (BOTH, {CHECKING.id, SAVINGS.id})):
        permit = decide(ask, Receipt(terms, ReceiptState.GIVEN, acknowledged=True), now_s=TERMS.valid_from_s)
        assert isinstance(permit, Permit)
        assert permit.resources == resources


def test_every_type_of_event_with_the_member_of_a_kind_is_of_that_resource() -> None:
    """`time_zone`, `asset` and the like are no resources; what takes a thing away is of the thing."""
    kinds = {"account", "facility", "source", "store"}
    for name, each in CATALOGUE.items():
        told = {"account": "a", "facility": "a", "source": "a", "store": "a"}
        event = type("Told", (), {"type": name, "data": told})()
        named = resource_of(event)
        had = kinds & set(each.schema.model_fields) - ({"source"} if name == "visit.ended" else set())
        assert {named} == ({(next(iter(had)), "a")} if had else {None}), name
        assert not had or had <= kinds_in(frozenset({data_class_of(name)}))


def replayed(ledger: Ledger) -> ConsentReplay:
    replay = ConsentReplay(ledger.host)
    for index, entry in enumerate(ledger.entries()):
        replay.take(entry, index)
    return replay


def rules(ledger: Ledger) -> list[str]:
    return [finding.rule for finding in replayed(ledger).findings]


def give(ledger: Ledger, terms: Terms) -> None:
    """Let the story's receipt be given of these terms; what follows is of them too."""
    for name in ("given", "live"):
        ledger.drafts[ledger.index(name)].body = receipt("given", acknowledged=name == "live", terms=terms)


def renew(ledger: Ledger, terms: Terms) -> None:
    for acknowledged in (False, True):
        ledger.add(f"renewed {acknowledged}", "receipt", receipt("renewed", acknowledged=acknowledged, terms=terms))


def ask_again(ledger: Ledger, terms: Terms) -> None:
    ledger.add("asked", "receipt", receipt("requested", terms=terms))


HOLDS: dict[str, Callable[[Ledger], None]] = {
    "picked when it was given": lambda gym: give(gym, BOTH),
    "one taken out": lambda gym: (give(gym, BOTH), renew(gym, after(BOTH, CHECKING)))[0],
    "only one from now on": lambda gym: renew(gym, after(TERMS, CHECKING)),
    "asked for all, of which some were picked": lambda gym: (
        give(gym, BOTH),
        ask_again(gym, ALL),
        renew(gym, picked(ALL, [CHECKING, OTHER])),
    )[0],
}
WRONG: dict[str, tuple[str, Callable[[Ledger], None]]] = {
    "one more, and nobody asked": ("P4.widened", lambda gym: (give(gym, BOTH), renew(gym, after(BOTH, OTHER)))[0]),
    "all, and nobody asked": ("P4.widened", lambda gym: (give(gym, BOTH), renew(gym, ALL))[0]),
    "another than was asked for": (
        "P4.widened",
        lambda gym: (give(gym, BOTH), ask_again(gym, after(BOTH, OTHER)), renew(gym, after(BOTH, SAVINGS, OTHER)))[0],
    ),
    "picked, and something else changed": (
        "P4.terms",
        lambda gym: give(gym, parse_terms({**BOTH.document(), "valid_until_s": TERMS.valid_until_s - 1})),
    ),
    "picked once it was given": (
        "P4.terms",
        lambda gym: gym.add("renewed", "receipt", receipt("renewed", terms=BOTH)),
    ),
}


@pytest.mark.parametrize("case", HOLDS)
def test_an_auditor_sees_that_fewer_resources_permit_no_more(case: str) -> None:
    gym, _ = tell()
    HOLDS[case](gym)
    assert rules(gym) == []


@pytest.mark.parametrize("case", WRONG)
def test_an_auditor_sees_a_resource_that_nobody_gave(case: str) -> None:
    rule, spoil = WRONG[case]
    gym, _ = tell()
    spoil(gym)
    assert rules(gym) == [rule]


def test_the_next_log_carries_what_was_picked_and_goes_on_from_there() -> None:
    gym, _ = tell()
    give(gym, BOTH)
    (carried,) = [each.body for each in replayed(gym).carries(gym.drafts[-1].at_s + 1) if each.kind == "receipt"]
    assert carried["resources"] == [each.model_dump() for each in BOTH.resources or ()]


def test_an_entry_names_resources_and_an_older_ones_bytes_stay() -> None:
    told = receipt("given", terms=BOTH)["resources"]
    assert told == [each.model_dump() for each in BOTH.resources or ()]
