"""Calls about programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.calls.base import body_of, get_call, search_call, segment, write_call
from tallystick.core import Call, unproven
from tallystick.errors import require
from tallystick.verify import Verifier
from tallystick.wire import (
    AcceptProgram,
    Budget,
    Program,
    Programs,
    PublishProgram,
    TriedProgram,
    TryProgram,
)
from tallystick_consent.program import parse_program
from tallystick_consent.rules import dates_of


class ProgramCalls:
    """Agree on what is counted and what it is worth."""

    def publish(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> Call[Program]:
        """Publish a program, or a new version of one.

        Args:
            document: as `tallystick_consent.program.Program` has it.
            idempotency_key: the caller's own; one is drawn where it is None.

        Raises:
            ProgramRejected: the document is not a program; nothing was sent.
        """
        digest = parse_program(dict(document)).digest()
        body = body_of(lambda: PublishProgram(program=dict(document)))

        def check(program: Program, verifier: Verifier) -> None:
            verifier.check_program_written(program)
            require(program.digest == digest, "The node published another program than the one it was sent.")

        return write_call("/v1/programs", body, Program, check, idempotency_key)

    def try_out(self, document: Mapping[str, Any], periods: Sequence[str]) -> Call[TriedProgram]:
        """Return what a program would have said of past periods, over the node's own events; nothing comes of it.

        Args:
            document: as for `publish`.
            periods: ISO 8601 names of the rule's span, such as `2027-03`; 36 at most.

        Raises:
            ProgramRejected: the document is not a program; nothing was sent.
            BadInput: a name is none of a period.
        """
        parse_program(dict(document))
        for name in periods:
            dates_of(name)
        body = body_of(lambda: TryProgram(program=dict(document), periods=[*periods]))
        return search_call("/v1/programs/try", body, TriedProgram, unproven)

    def list(self) -> Call[Programs]:
        """Return every program that the node knows."""

        def check(found: Programs, verifier: Verifier) -> None:
            for program in found.programs:
                verifier.check_program(program)

        return get_call("/v1/programs", Programs, check)

    def accept(
        self, name: str, version: int, *, payer: str | None = None, idempotency_key: str | None = None
    ) -> Call[Program]:
        """Agree to a partner's program, as an issuer of its claims.

        Args:
            name: the program's, without its version.
            version: from 1.
            payer: whose program it is; needed only where two payers propose one of that name.
            idempotency_key: the caller's own; one is drawn where it is None.
        """

        def check(program: Program, verifier: Verifier) -> None:
            verifier.check_program_written(program)
            require(
                (program.program["program"], program.program["version"]) == (name, version),
                "The node accepted another program than the one it was told.",
            )

        path = f"/v1/programs/{segment(name)}/{segment(str(version))}/accept"
        body = body_of(lambda: AcceptProgram(payer=payer))
        return write_call(path, body, Program, check, idempotency_key)

    def budget(self, name: str, period: str) -> Call[Budget]:
        """Return what a program may still pay in a period, such as `2027-03`."""
        return get_call(f"/v1/budgets/{segment(name)}/{segment(period)}", Budget, unproven)
