"""A job that is done again and again, and says once what it waits for.

A node whose clock is wrong, or whose database is away, tries twice a second: its operator reads one line, with what to
do, and one more when it goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tallystick_ledger.errors import TallyError

FAILED_PAUSE_S = 1.0
"""How long a job that failed is left, besides the pause that it has anyway."""

log = logging.getLogger(__name__)


async def again(
    name: str, job: Callable[[], Awaitable[None]], pause_s: float, *, failed_pause_s: float = FAILED_PAUSE_S
) -> None:
    """Do a job until cancelled; one that fails is tried again, and said to wait once for each reason.

    Args:
        name: of the job, as its operator reads it.
        job: is done over and over.
        pause_s: between the end of it and its next beginning.
        failed_pause_s: besides that, where it failed.
    """
    waits_for = ""
    while True:
        try:
            await job()
        except TallyError as error:
            if error.code != waits_for:
                log.warning("%s waits: %s", name, error)
            waits_for = error.code
            await asyncio.sleep(failed_pause_s)
        except Exception:
            log.exception("%s failed", name)
            await asyncio.sleep(failed_pause_s)
        else:
            if waits_for:
                log.warning("%s goes on", name)
            waits_for = ""
        await asyncio.sleep(pause_s)
