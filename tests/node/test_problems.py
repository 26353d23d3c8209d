"""Whatever comes in, an answer or a typed problem goes out: nothing is half done, and nobody is named."""

import http.client
import json
import logging
import time
from typing import Any

import httpx
import pytest
from hostile import HTTP, Scene, app, nothing_changes, refused
from pydantic import ValidationError

from tallystick.wire import DOCUMENT_DEPTH_MAX, REQUEST_SIZE_MAX_BYTES, RecordEvent
from tallystick_node.problems import STATUSES, TITLES

SEARCH = "/v1/rewards/search"
LOGGED_WITHIN_S = 5


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/events/",
        "/v2/events",
        "/docs",
        "/redoc",
        "/log",
        "/log/2027",
        "/log/2027/",
        "/log/2028/checkpoint",
        "/log/-1/checkpoint",
        "/log/2027/tile/0/000.p/0",
        "/log/2027/tile/0/000.p/256",
        "/log/2027/tile/64/000",
        "/log/2027/tile/0/0",
        "/log/2027/tile/00/000",
        "/log/2027/tile/0/999",
        "/log/2027/checkpoint/",
        "/.well-known/other",
    ],
)
def test_a_path_that_there_is_not_is_not_found(scene: Scene, path: str) -> None:
    refused(HTTP.get(scene.gym.url + path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/events", "POST"),
        ("GET", "/v1/events", "POST"),
        ("PUT", "/v1/claims", "GET"),
        ("POST", "/log/2027/checkpoint", "GET"),
        ("OPTIONS", "/v1/events", "POST"),
        ("GET", "/peer/v1/asks", "POST"),
        ("TRACE", "/healthz", "GET"),
    ],
)
def test_another_method_is_told_which_one_there_is(scene: Scene, method: str, path: str, allowed: str) -> None:
    answer = app(scene.gym, path, {}, method=method)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


def raw_get(scene: Scene, path: str) -> tuple[int, bytes]:
    """Ask for a path exactly as it is written; ordinary clients tidy paths up before they ask."""
    connection = http.client.HTTPConnection("127.0.0.1", scene.gym.port, timeout=10)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.mark.parametrize(
    "path",
    [
        "/log/2027/../node.toml",
        "/log/2027/../../gym.example/node.toml",
        "/log/2027/%2e%2e/node.toml",
        "/log/2027/..%2fnode.toml",
        "/log/2027/%2e%2e%2fkeys%2fidentity.key",
        "/log/2027/tile/../checkpoint",
        "/log/2027/tile/0/../../../node.db",
        "/log/2027//etc/passwd",
        "/log/2027/%2fetc%2fpasswd",
        "/log/2027/checkpoint%00",
        "/log/2027/.checkpoint.new",
        "/log/2027/tile/0/00\u0660",
        "/log/2027/tile/%ff",
    ],
)
def test_no_path_below_the_log_leads_out_of_it(scene: Scene, path: str) -> None:
    status, content = raw_get(scene, path.encode().decode("latin-1") if path.isascii() else "/log/2027/tile/0/00%D9%A0")
    assert (status, json.loads(content)["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/events", SEARCH, "/v1/programs/x/1/accept", "/peer/v1/asks", "/peer/v1/claims"])
@pytest.mark.parametrize("is_told", [True, False], ids=["told in advance", "found out"])
def test_a_body_over_the_bound_is_refused_and_one_at_the_bound_is_read(scene: Scene, path: str, is_told: bool) -> None:
    def send(size: int) -> httpx.Response:
        raw = b" " * size
        content = raw if is_told else (raw[at : at + 65_536] for at in range(0, size, 65_536))
        headers = {"Authorization": f"Bearer {scene.gym.secret}", "Content-Type": "application/json"}
        with httpx.Client(trust_env=False) as fresh:
            return fresh.post(scene.gym.url + path, content=content, headers={**headers, "Idempotency-Key": "large"})

    with nothing_changes(scene.gym):
        refused(send(REQUEST_SIZE_MAX_BYTES + 1), 413, "too_large")
        assert send(REQUEST_SIZE_MAX_BYTES).status_code in (401, 422)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"subject":',
    "two objects": b"{}{}",
    "a list": b"[]",
    "a text": b'"ana-at-gym"',
    "null": b"null",
    "no text": b'{"subject":"\xff"}',
    "a NUL": b'{"subject":"ana-at-gym\\u0000"}',
    "half a pair": b'{"subject":"\\ud800"}',
    "a number for a text": b'{"subject":1}',
    "true for a text": b'{"subject":true}',
    "a list for a text": b'{"subject":["ana-at-gym"]}',
    "a subject with a slash": b'{"subject":"../ana-at-gym"}',
    "a subject of Arabic digits": '{"subject":"\u0661\u0662"}'.encode(),
    "a subject too long": b'{"subject":"' + b"a" * 121 + b'"}',
    "a subject and a line break": b'{"subject":"ana-at-gym\\n"}',
    "an empty subject": b'{"subject":""}',
    "a member too many": b'{"subject":"x","policy ending 21":"ana-at-gym"}',
    "a deep list": b"[" * 900 + b"]" * 900,
    "a deeper list": b"[" * 100_000 + b"]" * 100_000,
    "a long number": b'{"subject":' + b"9" * 5_000 + b"}",
    "an endless number": b'{"subject":1e999}',
}


@pytest.mark.parametrize("body", BODIES, ids=list(BODIES))
def test_a_body_that_is_none_is_refused_and_not_repeated(scene: Scene, body: str) -> None:
    with nothing_changes(scene.gym):
        answer = app(scene.gym, SEARCH, content=BODIES[body])
        assert answer.status_code in (400, 422), answer.text
        refused(answer, answer.status_code, "invalid_input")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"])
def test_json_that_does_not_say_so_is_not_read(scene: Scene, content_type: str) -> None:
    """A form on somebody's page could send it, with no question asked by the browser."""
    raw = b'{"subject":"ana-at-gym"}'
    with nothing_changes(scene.gym):
        refused(app(scene.gym, SEARCH, content=raw, headers={"Content-Type": content_type}), 422, "invalid_input")


def test_the_name_of_a_member_that_nobody_knows_is_not_repeated(scene: Scene) -> None:
    told = refused(app(scene.gym, SEARCH, {"subject": "x", "ana-at-gym": 1}), 422, "invalid_input")
    assert told["errors"] == [{"pointer": "", "code": "extra_forbidden"}]
    nested = {"subject": "x", "evidence": {"grade": "app_asserted", "app": "app", "login": "aal2", "ben-at-gym": 1}}
    told = refused(app(scene.gym, f"/v1/receipts/rcp_{'a' * 26}/give", nested), 422, "invalid_input")
    assert told["errors"] == [{"pointer": "/evidence", "code": "extra_forbidden"}]


def test_what_is_wrong_is_named_by_its_place(scene: Scene) -> None:
    told = refused(app(scene.gym, SEARCH, {"subject": 1}), 422, "invalid_input")
    assert told["errors"] == [{"pointer": "/subject", "code": "string_type"}]


def test_a_problem_names_twenty_places_and_no_more(scene: Scene) -> None:
    many: dict[str, Any] = {f"m{number}": 1 for number in range(1_000)}
    told = refused(app(scene.gym, SEARCH, many), 422, "invalid_input")
    assert len(told["errors"]) == 20


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth - 1):
        value = [value]
    return {"a": value}


def test_a_document_is_as_deep_as_it_may_be_and_no_deeper(scene: Scene) -> None:
    body = {"subject": "ana-at-gym", "type": "visit.ended", "data": nested(DOCUMENT_DEPTH_MAX)}
    RecordEvent.model_validate(body)
    with pytest.raises(ValidationError):
        RecordEvent.model_validate({**body, "data": nested(DOCUMENT_DEPTH_MAX + 1)})
    refused(app(scene.gym, "/v1/events", body), 422, "event_invalid")
    head = b'{"subject":"ana-at-gym","type":"visit.ended","data":{"a":'
    for depth in (DOCUMENT_DEPTH_MAX + 1, 200, 254, 255, 256, 500, 900, 940, 960, 970, 980, 1_000, 5_000):
        with nothing_changes(scene.gym):
            answer = app(scene.gym, "/v1/events", content=head + b"[" * depth + b"]" * depth + b"}}")
            assert answer.status_code in (400, 422), answer.text
            refused(answer, answer.status_code, "invalid_input")


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/proofs/{2**63}",
        f"/v1/proofs/{2**200}",
        "/v1/proofs/-1",
        "/v1/proofs/x",
        "/v1/proofs/%D9%A1",
        "/v1/proofs/" + "9" * 5_000,
        "/v1/receipts/%00",
        "/v1/receipts/%ff",
        "/v1/receipts/" + "a" * 5_000,
        "/v1/events/%ED%A0%80",
        "/v1/events/'; DROP TABLE event; --",
        f"/v1/budgets/{'a' * 5_000}/2027-03",
        f"/log/{2**63}/checkpoint",
        "/log/%D9%A2/checkpoint",
        "/log/" + "9" * 5_000 + "/checkpoint",
        "/v1/claims?limit=0",
        "/v1/claims?limit=1001",
        f"/v1/claims?limit={2**70}",
        "/v1/claims?limit=x",
        "/v1/claims?cursor=!",
        "/v1/claims?cursor=AAAA",
        "/v1/claims?cursor=" + "A" * 65,
        "/v1/claims?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk",
        "/v1/claims?cursor=2aHZog",
    ],
)
def test_a_path_with_nonsense_in_it_is_refused(scene: Scene, path: str) -> None:
    answer = app(scene.gym, path, method="GET")
    assert answer.status_code in (404, 422), (path, answer.text)
    refused(answer, answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("version", [0, -1, 100_001, 2**63, 2**70, "x", "\u0661"])
def test_a_version_beyond_any_is_refused(scene: Scene, version: object) -> None:
    with nothing_changes(scene.gym):
        answer = app(scene.gym, f"/v1/programs/ins-fit/{version}/accept", {})
        refused(answer, 422, "invalid_input")


@pytest.mark.parametrize("hint", ["a\0b", "a\nb", "\x7f", "", "a" * 61])
def test_a_hint_that_no_database_or_screen_could_show_is_refused(scene: Scene, hint: str) -> None:
    offer = {"subject": "ana-at-ins", "partner": "gym.example", "program": "ins-fit", "hint": hint, "login": "aal2"}
    challenge = "A" * 43
    with nothing_changes(scene.insurer):
        answer = app(scene.insurer, "/v1/links/offers", {**offer, "challenge": challenge})
        refused(answer, 422, "invalid_input")


def test_every_error_of_the_tower_has_its_status_and_every_status_its_title() -> None:
    assert set(STATUSES.values()) <= set(TITLES)
    assert set(STATUSES.values()) == {400, 401, 403, 404, 409, 410, 422, 429, 500, 503}


@pytest.mark.sqlite  # by a trigger in its words; nothing else here depends on the database
def test_a_failure_of_ours_is_a_problem_and_its_log_line_quotes_no_subject(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A statement fails as nobody foresaw, with the subject's id among its parameters; the server logs the trace."""
    rule = "CREATE TRIGGER unforeseen BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'unforeseen'); END"
    membership = {"since": "2027-02-27T09:00:00-05:00"}
    body = {"subject": "ana-at-gym", "type": "membership.activated", "data": membership}
    server = logging.getLogger("uvicorn")
    assert app(scene.gym, "/v1/events", body).status_code == 201
    with scene.gym.node.engine.begin() as connection:
        connection.exec_driver_sql(rule)
    server.addHandler(caplog.handler)
    try:
        with nothing_changes(scene.gym):
            refused(app(scene.gym, "/v1/events", body), 500, "internal_error")
        for _ in range(LOGGED_WITHIN_S * 100):  # the trace is written after the answer has left
            if "unforeseen" in caplog.text:
                break
            time.sleep(0.01)
    finally:
        server.removeHandler(caplog.handler)
        with scene.gym.node.engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER unforeseen")
    assert "unforeseen" in caplog.text
    assert "ana-at-gym" not in caplog.text


def test_every_answer_names_its_request_by_an_id_of_its_own(scene: Scene) -> None:
    told = {app(scene.gym, "/v1/programs", method="GET").headers["x-request-id"] for _ in range(5)}
    assert len(told) == 5


def test_the_descriptor_and_the_health_need_no_key_and_say_no_more_than_they_must(scene: Scene) -> None:
    assert HTTP.get(scene.gym.url + "/.well-known/tallystick").text == scene.gym.descriptor
    assert HTTP.get(scene.gym.url + "/healthz").json() == {"status": "up"}
    ready = {"status": "ready", "publication": "not_witnessed", "evidence": "none"}
    assert HTTP.get(scene.gym.url + "/readyz").json() == ready
