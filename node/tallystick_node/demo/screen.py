"""What the demo prints: acts, a line a step, a sign where something was checked."""

from rich.console import Console
from rich.markup import escape

from tallystick_node.demo.promises import Promises


class Screen:
    """The terminal; every check that is shown is kept as well."""

    def __init__(self, console: Console, promises: Promises) -> None:
        """Print to `console`, and keep checks in `promises`."""
        self._console = console
        self._promises = promises
        self._scenes = 0

    def title(self, text: str) -> None:
        """Print what this is."""
        self._console.print(f"[bold]{escape(text)}[/bold]")

    def act(self, text: str, when: str = "") -> None:
        """Print the heading of an act."""
        self._console.print(f"\n[bold cyan]{escape(text)}[/bold cyan]  [dim]{escape(when)}[/dim]")

    def scene(self, text: str, when: str) -> None:
        """Print the heading of an act of a story, numbered on through all stories."""
        self._scenes += 1
        self.act(f"{self._scenes}. {text}", when)

    def step(self, text: str) -> None:
        """Print something that was done."""
        self._console.print(f"  - {escape(text)}")

    def check(self, promise: str, sentence: str, held: bool) -> bool:
        """Print and keep whether something that was promised is so."""
        self._promises.check(promise, sentence, held)
        sign, style = ("✓", "green") if held else ("✗ BROKEN:", "bold red")
        self._console.print(f"  [{style}]{sign}[/{style}] {escape(sentence)} [dim]({promise})[/dim]")
        return held

    def broken(self, text: str) -> None:
        """Print what ended the story."""
        self._console.print(f"[bold red]{escape(text)}[/bold red]")
