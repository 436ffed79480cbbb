"""One command of the program, run within this process, for the tests of the command line."""

from __future__ import annotations

from typer.testing import CliRunner

import simulate


class Answer:
    """What one command gave."""

    def __init__(self, *words: object) -> None:
        result = CliRunner().invoke(simulate.app, [str(word) for word in words])
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
