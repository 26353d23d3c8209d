"""Apps are known by their key, and may do what its scopes say: one test for each call, and one scope at a time."""

import json
from typing import NamedTuple

import httpx
import pytest
from hostile import HTTP, Scene, app, nothing_changes, refused, said_of
from outside import stored_of
from sqlalchemy import select
from town import link

from tallystick.wire import SCOPES
from tallystick_node.storage.tables import APP_KEYS, AUDIT_READS, RECEIPTS

SUBJECT = {"subject": "ana-at-gym"}
EVIDENCE = {"grade": "app_asserted", "app": "app", "login": "aal2"}
YES = {**SUBJECT, "evidence": EVIDENCE}
RECEIPT, LINK = f"rcp_{'a' * 26}", f"lnk_{'a' * 26}"
CLERK = {"channel": "desk", "agent": "staff-12"}
OFFER = f"insurer.example~ins-fit~{'a' * 26}"


class Route(NamedTuple):
    """A call, what it needs, and a body that is of its form."""

    call: str
    scopes: tuple[str, ...]
    body: dict[str, object] | None = None


ROUTES = (
    Route(
        "POST /v1/links/offers",
        ("links:write", "subject:assert"),
        {
            **SUBJECT,
            "partner": "gym.example",
            "program": "ins-fit",
            "hint": "policy ending 21",
            "login": "aal2",
            "challenge": "a" * 43,
        },
    ),
    Route(
        "POST /v1/links/accept",
        ("links:write", "subject:assert"),
        {**SUBJECT, "offer": OFFER, "hint": "member since 2020", "login": "aal2"},
    ),
    Route("POST /v1/links/confirm", ("links:write",), {"offer": OFFER, "verifier": "a" * 43}),
    Route("POST /v1/links/search", ("links:write",), SUBJECT),
    Route("POST /v1/receipts/request", ("receipts:write",), {"link": LINK}),
    Route("POST /v1/receipts/search", ("receipts:read",), SUBJECT),
    Route(f"GET /v1/receipts/{RECEIPT}", ("receipts:read",)),
    Route(f"GET /v1/receipts/{RECEIPT}/notice", ("receipts:read",)),
    Route(f"GET /v1/receipts/{RECEIPT}/export/fhir", ("receipts:read",)),
    Route(f"GET /v1/receipts/{RECEIPT}/signed", ("receipts:read",)),
    Route(f"POST /v1/receipts/{RECEIPT}/give", ("receipts:write", "subject:assert"), YES),
    Route(f"POST /v1/receipts/{RECEIPT}/refuse", ("receipts:write", "subject:assert"), SUBJECT),
    Route(f"POST /v1/receipts/{RECEIPT}/defer", ("receipts:write", "subject:assert"), SUBJECT),
    Route(f"POST /v1/receipts/{RECEIPT}/pause", ("receipts:write", "subject:assert"), SUBJECT),
    Route(f"POST /v1/receipts/{RECEIPT}/renew", ("receipts:write", "subject:assert"), YES),
    Route(
        f"POST /v1/receipts/{RECEIPT}/narrow",
        ("receipts:write", "subject:assert"),
        {**YES, "data_classes": ["visit"]},
    ),
    Route(
        f"POST /v1/receipts/{RECEIPT}/versions/give",
        ("receipts:write", "subject:assert"),
        YES,
    ),
    Route(f"POST /v1/receipts/{RECEIPT}/versions/refuse", ("receipts:write", "subject:assert"), SUBJECT),
    Route(f"POST /v1/receipts/{RECEIPT}/revoke", ("receipts:write",), {}),
    Route(f"POST /v1/receipts/{RECEIPT}/invalidate", ("receipts:write",), {}),
    Route(f"POST /v1/receipts/{RECEIPT}/versions/request", ("receipts:write",), {}),
    Route(f"GET /v1/receipts/{RECEIPT}/versions", ("receipts:read",)),
    Route(
        f"POST /v1/receipts/{RECEIPT}/resources/search",
        ("receipts:read",),
        {**SUBJECT, "resources": [{"kind": "facility", "name": "club-7"}]},
    ),
    Route("GET /v1/receipts/unacknowledged", ("receipts:read",)),
    Route("GET /v1/duties", ("receipts:read",)),
    Route(f"POST /v1/receipts/{RECEIPT}/withdraw", ("receipts:write", "subject:assert"), SUBJECT),
    Route(
        f"POST /v1/receipts/{RECEIPT}/approve",
        ("receipts:write", "subject:assert"),
        {**SUBJECT, "evidence": EVIDENCE, "by": "ben-at-gym"},
    ),
    Route("POST /v1/standings", ("standings:write",), {**SUBJECT, "kind": "company", "speakers": ["a"]}),
    Route("POST /v1/standings/search", ("receipts:read",), SUBJECT),
    Route("POST /v1/acts/search", ("receipts:read",), SUBJECT),
    Route("POST /v1/letters", ("receipts:write", "subject:assert"), SUBJECT),
    Route("POST /v1/desk", ("desk:write",), {**SUBJECT, **CLERK, "code": "7K3M-9QXT-0WZ4", "kind": "see"}),
    Route(
        "POST /v1/links/match",
        ("desk:write", "links:write", "subject:assert"),
        {**CLERK, "offer": OFFER, "candidates": [], "hint": "member since 2020", "login": "aal2"},
    ),
    Route("POST /v1/links/matches/search", ("links:write",), {"offer": OFFER}),
    Route("POST /v1/events", ("events:write",), {**SUBJECT, "type": "visit.ended", "data": {}}),
    Route("POST /v1/corrections", ("events:write",), {**SUBJECT, "event": "evt_" + "a" * 26}),
    Route("GET /v1/events/evt_x", ("events:read",)),
    Route("POST /v1/programs", ("programs:write",), {"program": {}}),
    Route("GET /v1/programs", ("programs:read",)),
    Route("POST /v1/programs/ins-fit/9/accept", ("programs:write",), {}),
    Route("POST /v1/programs/try", ("events:read", "programs:read"), {"program": {}, "periods": ["2027-03"]}),
    Route("GET /v1/budgets/ins-fit/2027-03", ("programs:read",)),
    Route("POST /v1/claims/ask", ("claims:write",), {"link": LINK, "period": "2027-03"}),
    Route("POST /v1/claims/search", ("claims:read", "subject:assert"), SUBJECT),
    Route("GET /v1/claims", ("claims:read",)),
    Route("POST /v1/rewards/search", ("rewards:read",), SUBJECT),
    Route("POST /v1/decisions/search", ("receipts:read",), SUBJECT),
    Route("POST /v1/erasures", ("subjects:erase", "subject:assert"), {"subject": "nobody-at-gym"}),
    Route("POST /v1/erasures/search", ("subjects:read",), SUBJECT),
    Route("POST /v1/certificates/search", ("subjects:read",), SUBJECT),
    Route("POST /v1/exports/search", ("subjects:read",), SUBJECT),
    Route(
        "POST /v1/decisions/contest",
        ("receipts:write", "subject:assert"),
        {**SUBJECT, "decision": 1, "ground": "count_wrong"},
    ),
    Route("GET /v1/decisions/contests", ("receipts:read",)),
    Route(
        "POST /v1/decisions/contests/answer",
        ("receipts:write",),
        {**SUBJECT, "contest": "cts_" + "a" * 26, "outcome": "upheld", "agent": "staff-7"},
    ),
    Route("GET /v1/desk/requests", ("receipts:read",)),
    Route(
        "POST /v1/desk/answers",
        ("receipts:write",),
        {**SUBJECT, "request": "act_" + "a" * 26, "outcome": "granted", "agent": "staff-7"},
    ),
    Route(
        "POST /v1/desk/delays",
        ("receipts:write",),
        {**SUBJECT, "of": "act_" + "a" * 26, "because": "complex", "channel": "letter", "agent": "staff-7"},
    ),
    Route("POST /v1/why/search", ("receipts:read", "rewards:read"), SUBJECT),
    Route("GET /v1/proofs/0", ("audit:read",)),
    Route("POST /v1/proofs/entries", ("audit:read",), {"indexes": [0]}),
    Route("POST /v1/proofs/range", ("audit:read",), {"start": 0, "end": 1}),
    Route("POST /v1/proofs/inclusion", (), {"indexes": [0]}),
    Route("POST /v1/proofs/consistency", (), {"old_size": 1}),
    Route("POST /v1/proofs/subtree", (), {"start": 0, "end": 1}),
)
every_route = pytest.mark.parametrize("route", ROUTES, ids=[each.call for each in ROUTES])


def call(scene: Scene, route: Route, **changes: object) -> httpx.Response:
    method, path = route.call.split(" ")
    return app(scene.gym, path, route.body, method=method, **changes)  # type: ignore[arg-type]


def test_every_call_of_the_app_api_is_in_the_table(scene: Scene) -> None:
    described = HTTP.get(scene.gym.url + "/openapi.json").json()["paths"]
    there = {
        (method.upper(), path.count("/"), path.split("/")[2])
        for path, methods in described.items()
        if path.startswith("/v1/")
        for method in methods
    }
    calls = [route.call.split(" ") for route in ROUTES]
    assert {(method, path.count("/"), path.split("/")[2]) for method, path in calls} == there
    assert sum(len(methods) for path, methods in described.items() if path.startswith("/v1/")) == len(ROUTES)


@every_route
def test_a_key_that_nobody_made_opens_nothing(scene: Scene, route: Route) -> None:
    with nothing_changes(scene.gym):
        refused(call(scene, route, key="sk_test_" + "x" * 43), 401, "key_invalid")


@every_route
def test_a_key_that_lacks_one_scope_is_told_which_scopes_it_takes_and_no_more(scene: Scene, route: Route) -> None:
    for missing in route.scopes:
        limited = scene.gym.key(*(each for each in SCOPES if each != missing))
        with nothing_changes(scene.gym):
            told = refused(call(scene, route, key=limited), 403, "scope_missing")
        assert told["remedy"] == f"Use a key with the scopes {', '.join(route.scopes)}."


@every_route
def test_a_key_with_just_these_scopes_gets_past_the_door(scene: Scene, route: Route) -> None:
    exact = scene.gym.key(*(route.scopes or ("audit:read",)))
    assert call(scene, route, key=exact).status_code not in (401, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YXBwOmFwcA=="},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 8_000},
    ],
    ids=["nothing", "no key", "another scheme", "not text", "a long one"],
)
def test_whatever_is_not_a_key_is_refused_in_the_same_words(scene: Scene, headers: dict[str, str]) -> None:
    unknown = app(scene.gym, "/v1/programs", method="GET", key="unknown")
    given = app(scene.gym, "/v1/programs", method="GET", headers=headers)
    refused(given, 401, "key_invalid")
    assert given.headers["www-authenticate"] == "Bearer"
    assert said_of(given) == said_of(unknown)


def test_a_key_of_another_company_is_no_key_here(scene: Scene) -> None:
    refused(app(scene.gym, "/v1/programs", method="GET", key=scene.insurer.secret), 401, "key_invalid")


def test_a_key_works_until_the_second_in_which_it_expires_and_not_from_then_on(scene: Scene) -> None:
    start_s = scene.story.clock.at_s
    key = scene.gym.key("programs:read", life_days=1)
    try:
        scene.story.clock.at_s = start_s + 86_399
        assert app(scene.gym, "/v1/programs", method="GET", key=key).status_code == 200
        scene.story.clock.at_s = start_s + 86_400
        expired = app(scene.gym, "/v1/programs", method="GET", key=key)
        refused(expired, 401, "key_invalid")
        assert said_of(expired) == said_of(app(scene.gym, "/v1/programs", method="GET", key="unknown"))
    finally:
        scene.story.clock.at_s = start_s


def test_the_database_holds_no_key_only_its_digest(scene: Scene) -> None:
    key = scene.gym.key("programs:read")
    assert scene.gym.node.rows(select(APP_KEYS.c.digest))
    assert key.encode() not in stored_of(scene.gym)


def test_the_name_in_evidence_is_that_of_the_key_and_not_what_the_app_says(scene: Scene) -> None:
    ben = link(scene.gym, scene.insurer, at_gym="ben-at-gym", at_insurer="ben-at-ins", town=scene.story)
    asked = scene.insurer.app().receipts.request(ben.link).receipt
    scene.story.settle()
    given = {"subject": "ben-at-gym", "evidence": {**EVIDENCE, "app": "somebody-else"}}
    assert app(scene.gym, f"/v1/receipts/{asked}/give", given).status_code == 200
    (kept,) = scene.gym.node.rows(select(RECEIPTS.c.evidence).where(RECEIPTS.c.id == asked))
    assert json.loads(kept.evidence)["app"] == "app"


BUNDLE = "/log/2027/tile/entries/000.p/1"


def test_entry_bundles_are_not_for_everybody(scene: Scene) -> None:
    limited = scene.gym.key(*(each for each in SCOPES if each != "audit:read"))
    with nothing_changes(scene.gym):
        refused(HTTP.get(scene.gym.url + BUNDLE), 401, "key_invalid")
        refused(app(scene.gym, BUNDLE, method="GET", key=limited), 403, "scope_missing")


def test_an_auditor_reads_a_bundle_and_the_read_is_recorded(scene: Scene) -> None:
    auditor = scene.gym.key("audit:read")
    path = max(scene.gym.log.glob("tile/entries/000.p/*")).relative_to(scene.gym.log)
    before = len(scene.gym.node.rows(select(AUDIT_READS)))
    read = app(scene.gym, f"/log/2027/{path}", method="GET", key=auditor)
    assert (read.status_code, read.headers["cache-control"]) == (200, "private, no-store")
    assert read.content == (scene.gym.log / path).read_bytes()
    recorded = scene.gym.node.rows(select(AUDIT_READS).order_by(AUDIT_READS.c.id))
    assert len(recorded) == before + 1
    assert (recorded[-1].path, recorded[-1].read_at_s) == (f"2027/{path}", scene.story.clock.at_s)


def test_tiles_and_heads_need_no_key(scene: Scene) -> None:
    tile = max(scene.gym.log.glob("tile/0/000.p/*")).relative_to(scene.gym.log)
    for path in ("checkpoint", tile):
        assert HTTP.get(f"{scene.gym.url}/log/2027/{path}").status_code == 200
