"""What a search has measured, kept line by line: one that was killed goes on where it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from neuroinverse.provenance import digest


class Journal:
    """Measurements of a search in their order.

    A search that begins again asks for the same gains under the same drives in the same order. What is in the journal
    is given back, and what is not is measured.

    Args:
        folder: Where the journal is kept; with None nothing is.
        spec: Specification of the search: a journal of another one is thrown away.
    """

    def __init__(self, folder: Path | None = None, spec=None):
        self.folder, self._file, self._kept = folder, None, []
        if folder is None:
            return
        path, header = Path(folder) / "search.jsonl", {"spec": digest(spec)}
        if path.is_file():
            # a line that was cut off by the kill is measured again
            lines = [line for line in path.read_text(encoding="utf-8").splitlines(True) if line.endswith("\n")]
            found = [json.loads(line) for line in lines]
            self._kept = found[1:] if found[:1] == [header] else []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        for row in [header, *self._kept]:
            self._write(row)
        if self._kept:
            print(f"goes on after {len(self._kept)} measurements", flush=True)
        self._kept = self._kept[::-1]

    def measured(self, question, measure: Callable[[], dict]) -> dict:
        """What was answered to the next question, or what `measure` answers now.

        Args:
            question: What tells a measurement from others, as JSON values.
            measure: Gives the answer, as JSON values.
        """
        question = json.loads(json.dumps(question))
        if self._kept:
            row = self._kept.pop()
            if row["question"] == question:
                return row["answer"]
            raise RuntimeError(f"{self.folder}: the search asks for other measurements than before; remove this folder")
        answer = measure()
        if self._file:
            self._write({"question": question, "answer": answer})
        return answer

    def _write(self, row: dict) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def remove(self) -> None:
        """Removes the journal: the search is done."""
        if self._file:
            self._file.close()
            shutil.rmtree(self.folder)
