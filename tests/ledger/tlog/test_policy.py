"""Trust policies: which checkpoints they let through, and which policies cannot be written."""

import pytest
from signers import LOG, LOG_PQ, NOW_S, ORIGIN, STRANGER, WITNESS, WITNESS_PQ, ed25519_key

from tallystick_ledger.errors import NoteMalformed, PolicyUnmet, SignatureRejected
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, VerifierKey
from tallystick_ledger.tlog.note import CosignatureSigner, NoteSigner, SignatureLine, add_lines, sign_note
from tallystick_ledger.tlog.policy import (
    GROUPS_MAX,
    LOGS_MAX,
    POLICY_SIZE_MAX_BYTES,
    WITNESSES_MAX,
    parse_policy,
)

X = [CosignatureSigner(f"x{number}.example", ed25519_key(f"x{number}")) for number in (1, 2, 3)]
Y = [CosignatureSigner(f"y{number}.example", ed25519_key(f"y{number}")) for number in (1, 2, 3)]
BODY = Checkpoint(ORIGIN, 7, bytes(32)).body()
LOG_LINE = f"log {LOG.verifier_key.text} https://gym.example/log\n"
W1, W2 = (
    f"witness w{number} {each.verifier_key.text} https://w/\n" for number, each in ((1, WITNESS), (2, WITNESS_PQ))
)


def named(letter: str, signers: list[CosignatureSigner]) -> str:
    return "".join(f"witness {letter}{i} {each.verifier_key.text}\n" for i, each in enumerate(signers, 1))


SPEC = (
    LOG_LINE
    + "\n# two operators\n"
    + named("X", X)
    + "group X-witnesses 2 X1 X2 X3\n\n"
    + named("Y", Y)
    + "\tgroup  Y-witnesses any\tY1 Y2 Y3 \n"
    + "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
)


def test_a_line_that_makes_no_claim_to_be_the_latest_does_not_count() -> None:
    """A witness that signs a part of a tree says of it no more than that it stood in a tree that it has cosigned."""
    policy = parse_policy((LOG_LINE + W2 + "quorum w2\n").encode())
    part = WITNESS_PQ.sign_subtree(origin=ORIGIN, start=0, end=7, root=bytes(32))
    line = SignatureLine(WITNESS_PQ.verifier_key.name, WITNESS_PQ.verifier_key.key_id, part)
    with pytest.raises(PolicyUnmet):
        policy.check(add_lines(sign_note(BODY, [LOG], now_s=1), [line]), ORIGIN)
    assert policy.check(sign_note(BODY, [LOG, WITNESS_PQ], now_s=1), ORIGIN).size == 7


@pytest.mark.parametrize(
    ("cosigners", "is_met"),
    [
        ([X[0], X[1], Y[2]], True),
        ([*X, *Y], True),
        ([X[0], X[2], Y[0], Y[1]], True),
        ([X[0], Y[0], Y[1], Y[2]], False),
        (X, False),
        (Y, False),
        ([], False),
    ],
)
def test_the_quorum_of_the_specification_is_counted(cosigners: list[CosignatureSigner], is_met: bool) -> None:
    policy, note = parse_policy(SPEC.encode()), sign_note(BODY, [LOG, *cosigners], now_s=NOW_S)
    if is_met:
        assert policy.check(note, ORIGIN) == Checkpoint(ORIGIN, 7, bytes(32))
    else:
        with pytest.raises(PolicyUnmet):
            policy.check(note, ORIGIN)


def test_a_policy_says_what_was_written() -> None:
    policy = parse_policy((LOG_LINE + W1 + W2 + "group both all w1 w2\nquorum both\n").encode())
    assert policy.logs == ((LOG.verifier_key, "https://gym.example/log"),)
    assert policy.witnesses == (
        (b"w1", WITNESS.verifier_key, "https://w/"),
        (b"w2", WITNESS_PQ.verifier_key, "https://w/"),
    )
    assert policy.groups == ((b"both", 2, (b"w1", b"w2")),)
    assert policy.quorum == b"both"


def test_without_a_quorum_the_log_alone_is_enough() -> None:
    policy = parse_policy((LOG_LINE + "quorum none\n").encode())
    assert policy.quorum is None
    policy.check(sign_note(BODY, [LOG], now_s=NOW_S), ORIGIN)


def test_a_single_witness_may_be_the_quorum_and_the_note_tells_when_it_signed() -> None:
    policy = parse_policy((LOG_LINE + W1 + W2 + "quorum w2\n").encode())
    _, opened = policy.open(sign_note(BODY, [LOG, WITNESS_PQ], now_s=NOW_S), ORIGIN)
    assert [each.timestamp_s for each in opened.verified] == [None, NOW_S]
    with pytest.raises(PolicyUnmet):
        policy.check(sign_note(BODY, [LOG, WITNESS], now_s=NOW_S), ORIGIN)


def test_any_key_of_the_log_is_enough_and_a_wrong_line_is_not_outvoted() -> None:
    policy = parse_policy((LOG_LINE + f"log {LOG_PQ.verifier_key.text}\n" + W1 + "quorum none\n").encode())
    for signer in (LOG, LOG_PQ):
        policy.check(sign_note(BODY, [signer], now_s=NOW_S), ORIGIN)
    other = sign_note(Checkpoint(ORIGIN, 8, bytes(32)).body(), [WITNESS], now_s=NOW_S).rpartition(b"\n\n")[2]
    with pytest.raises(SignatureRejected, match="wrong"):
        policy.check(sign_note(BODY, [LOG], now_s=NOW_S) + other, ORIGIN)


def test_a_listed_log_does_not_speak_for_another_listed_log() -> None:
    shop = NoteSigner("shop.example", ed25519_key("shop"))
    policy = parse_policy((LOG_LINE + f"log {shop.verifier_key.text}\nquorum none\n").encode())
    with pytest.raises(SignatureRejected, match="No known key"):
        policy.check(sign_note(BODY, [shop], now_s=NOW_S), ORIGIN)
    with pytest.raises(SignatureRejected, match="another log"):
        policy.check(sign_note(Checkpoint("shop.example", 7, bytes(32)).body(), [LOG], now_s=NOW_S), ORIGIN)


def test_a_log_that_is_not_listed_is_not_believed() -> None:
    policy = parse_policy((LOG_LINE + W1 + "quorum w1\n").encode())
    with pytest.raises(SignatureRejected):
        policy.check(sign_note(BODY, [STRANGER], now_s=NOW_S), ORIGIN)


def test_a_witness_that_bears_the_name_of_the_log_is_not_the_log() -> None:
    impostor = CosignatureSigner(ORIGIN, ed25519_key("impostor"))
    policy = parse_policy((LOG_LINE + f"witness w {impostor.verifier_key.text}\nquorum w\n").encode())
    with pytest.raises(SignatureRejected, match="No log that the policy lists"):
        policy.check(sign_note(BODY, [impostor], now_s=NOW_S), ORIGIN)


def test_names_are_opaque_bytes_and_comments_and_addresses_may_hold_any() -> None:
    kelvin = b"\xe2\x84\xaa"
    keys = [WITNESS.verifier_key.text.encode(), WITNESS_PQ.verifier_key.text.encode()]
    raw = b"# \xff\nwitness K %b http://\xff/\nwitness %b %b\nquorum %b\n" % (keys[0], kelvin, keys[1], kelvin)
    policy = parse_policy(raw)
    assert [witness.name for witness in policy.witnesses] == [b"K", kelvin]
    assert policy.witnesses[0].url == "http://\udcff/"
    assert policy.quorum == kelvin


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "one quorum"),
        (LOG_LINE, "one quorum"),
        ("quorum none\nquorum none\n", "one quorum"),
        ("quorum none", "does not end"),
        ("quorum none\r\n", "control"),
        ("quorum none\n\x0b\n", "control"),
        ("quorum none\x7f\n", "control"),
        ("quorum w1\n" + W1, "not defined before"),
        ("quorum\n", "known form"),
        ("quorum none none\n", "known form"),
        ("Quorum none\n", "known form"),
        ("log\nquorum none\n", "known form"),
        (LOG_LINE.replace("\n", " more\n") + "quorum none\n", "known form"),
        (W1.replace("\n", " more\n") + "quorum none\n", "known form"),
        ("witness w1\nquorum none\n", "known form"),
        (W1 + "group g all\nquorum none\n", "known form"),
        (W1 + W1.replace("w1", "w9", 1) + "quorum none\n", "public key twice"),
        (LOG_LINE + LOG_LINE + "quorum none\n", "public key twice"),
        (W1 + W2.replace("w2", "w1", 1) + "quorum none\n", "defined twice"),
        (W1.replace("w1", "none", 1) + "quorum none\n", "reserved"),
        (W1 + "group none all w1\nquorum none\n", "reserved"),
        (W1 + "group w1 all w1\nquorum none\n", "defined twice"),
        (W1 + "group g all g\nquorum g\n", "not defined before"),
        ("group g all w1\n" + W1 + "quorum g\n", "not defined before"),
        (W1 + "group g all none\nquorum g\n", "not defined before"),
        (W1 + "group g all w1 w1\nquorum g\n", "member of a group twice"),
        (W1 + "group g all w1\ngroup h all w1\nquorum g\n", "member of a group twice"),
        (W1 + "group g 0 w1\nquorum g\n", "threshold"),
        (W1 + "group g 2 w1\nquorum g\n", "threshold"),
        (W1 + "group g 01 w1\nquorum g\n", "threshold"),
        (W1 + "group g +1 w1\nquorum g\n", "threshold"),
        (W1 + "group g most w1\nquorum g\n", "threshold"),
        (f"log {WITNESS.verifier_key.text}\nquorum none\n", "cosignatures only"),
        (f"witness w {LOG.verifier_key.text}\nquorum none\n", "cosignatures only"),
        ("log what\nquorum none\n", "verifier key"),
    ],
)
def test_a_policy_of_another_shape_is_refused(text: str, problem: str) -> None:
    with pytest.raises(NoteMalformed, match=problem):
        parse_policy(text.encode())


def test_a_key_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(NoteMalformed, match="UTF-8"):
        parse_policy(b"log \xff\nquorum none\n")


def test_one_public_key_under_two_names_is_refused() -> None:
    """It would count twice: the key id differs, the holder does not."""
    again = VerifierKey("other.example", COSIGNATURE_ED25519, WITNESS.verifier_key.public_key)
    with pytest.raises(NoteMalformed, match="public key twice"):
        parse_policy((W1 + f"witness again {again.text}\nquorum none\n").encode())


def many(word: str, count: int) -> str:
    """So many logs or witnesses, each with its own key."""
    signers = (
        NoteSigner("n.example", ed25519_key(str(i)))
        if word == "log"
        else CosignatureSigner("n.example", ed25519_key(str(i)))
        for i in range(count)
    )
    return "".join(
        f"{word} {'' if word == 'log' else f'n{i} '}{each.verifier_key.text}\n" for i, each in enumerate(signers)
    )


@pytest.mark.parametrize(("word", "count_max"), [("log", LOGS_MAX), ("witness", WITNESSES_MAX)])
def test_a_policy_may_list_so_many_and_no_more(word: str, count_max: int) -> None:
    parse_policy((many(word, count_max) + "quorum none\n").encode())
    with pytest.raises(NoteMalformed, match="too many"):
        parse_policy((many(word, count_max + 1) + "quorum none\n").encode())


def test_a_policy_may_nest_so_many_groups_and_no_more() -> None:
    nested = W1 + "group g0 all w1\n" + "".join(f"group g{i} all g{i - 1}\n" for i in range(1, GROUPS_MAX))
    policy = parse_policy((LOG_LINE + nested + f"quorum g{GROUPS_MAX - 1}\n").encode())
    policy.check(sign_note(BODY, [LOG, WITNESS], now_s=NOW_S), ORIGIN)
    with pytest.raises(NoteMalformed, match="too many groups"):
        parse_policy((nested + f"group more all g{GROUPS_MAX - 1}\nquorum more\n").encode())


def test_a_policy_may_be_so_large_and_no_larger() -> None:
    text = b"quorum none\n#"
    padded = text + b"#" * (POLICY_SIZE_MAX_BYTES - len(text) - 1) + b"\n"
    parse_policy(padded)
    with pytest.raises(NoteMalformed, match="too large"):
        parse_policy(b"\n" + padded)
