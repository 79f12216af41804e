"""Commands that have commands of their own, such as ``unreel evaluate retrieval``."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandGroup:
    """A command whose next word chooses what is done.

    Attributes:
        name: of the command.
        description: what it is for.
        kind: what its next word names, such as ``protocol``.
        members: name -> (module of `unreel.cli`, what it does). A module is imported only when it is run.
        example: a whole call.
    """

    name: str
    description: str
    kind: str
    members: Mapping[str, tuple[str, str]]
    example: str

    def run(self, argv: list[str]) -> None:
        """Run the member that the first word names; without one, list them and leave with 2."""
        if argv and argv[0] in self.members:
            importlib.import_module(f"unreel.cli.{self.members[argv[0]][0]}").main(argv[1:])
            return
        is_help = bool(argv) and argv[0] in ("-h", "--help")
        stream = sys.stdout if is_help else sys.stderr
        if argv and not is_help:
            known = ", ".join(self.members)
            stream.write(f"error: no {self.kind} {argv[0]!r}; the {self.kind}s are: {known}\n\n")
        stream.write(self._help())
        sys.exit(0 if is_help else 2)

    def _help(self) -> str:
        word = self.kind.upper()
        width = max(map(len, self.members))
        return "\n".join(
            [
                f"usage: unreel {self.name} {word} ...",
                "",
                self.description.strip(),
                "",
                f"{self.kind}s:",
                *(f"  {name:<{width}}  {text}" for name, (_, text) in self.members.items()),
                "",
                f"`unreel {self.name} {word} --help` explains one.",
                "",
                "example:",
                f"  {self.example}",
                "",
            ]
        )
