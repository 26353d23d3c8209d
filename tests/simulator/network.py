"""A network that loses, repeats and delays: a transport for the product's own HTTP client.

What happens to an exchange depends on the seed, the host and how many exchanges that host has had, and on nothing else:
threads may run in any order, and a seed still tells one story.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random

import httpx

Handler = Callable[[str, str, bytes], tuple[int, bytes]]
"""(method, path, body) -> (status, body)"""


class Network(httpx.BaseTransport):
    """Carries requests to hosts.

    Attributes:
        trouble: how likely it is that something happens to an exchange, 0 to 1.
        down: hosts that nobody reaches.
        answered: how many answers reached whoever asked, by host.
    """

    def __init__(self, seed: str) -> None:
        self.trouble = 0.0
        self.down: set[str] = set()
        self.answered: Counter[str] = Counter()
        self._seed = seed
        self._hosts: dict[str, Handler] = {}
        self._exchanges: Counter[str] = Counter()
        self._late: dict[str, list[tuple[str, str, bytes]]] = defaultdict(list)

    def add(self, host: str, handler: Handler) -> None:
        """Let a host answer."""
        self._hosts[host] = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        host, path, body = request.url.host, request.url.path, request.read()
        self._exchanges[host] += 1
        chance = Random(f"{self._seed}/{host}/{self._exchanges[host]}")  # noqa: S311
        if host in self.down:
            raise httpx.ConnectError("down")
        fate = chance.random() if chance.random() < self.trouble else 1.0
        if fate < 0.3:
            raise httpx.ConnectTimeout("lost on the way")
        if fate < 0.5:  # it arrives when nobody thinks of it any more
            self._late[host].append((request.method, path, body))
            raise httpx.ReadTimeout("delayed")
        if fate < 0.7:  # twice
            self._hosts[host](request.method, path, body)
        status, answer = self._hosts[host](request.method, path, body)
        if fate < 0.9:
            raise httpx.ReadTimeout("the answer was lost")
        self.answered[host] += 1
        return httpx.Response(status, stream=httpx.ByteStream(answer))

    def deliver_late(self, chance: Random) -> None:
        """Let something that was delayed arrive, in any order; its answer goes nowhere."""
        waiting = sorted(host for host, late in self._late.items() if late and host not in self.down)
        if waiting:
            host = chance.choice(waiting)
            late = self._late[host]
            self._hosts[host](*late.pop(chance.randrange(len(late))))
