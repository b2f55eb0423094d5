"""A disk that forgets: what is on it after the power went, told from the calls of a trace.

What POSIX promises, and no more: a file holds what was written to it before its last sync, and a folder names what it
named at its last sync, however many names came and went since. A kind disk keeps more; a random one keeps some of
what was not synced: writes whole, in part (by sectors) or not at all, in any order, and of a folder's changes the first
few, as file systems with a journal do.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.torture.durability_trace import CHANGING, SYNCS, Call, Moment

SECTOR: Final = 512

Change = Callable[[bytearray], None]


@dataclass
class _Node:
    """A file or a folder: what lasts, and the changes that do not yet."""

    is_folder: bool = False
    names: dict[str, _Node] = field(default_factory=dict)
    """What a folder names now."""
    lasting_names: dict[str, _Node] = field(default_factory=dict)
    lasting: bytearray = field(default_factory=bytearray)
    size: int = 0
    pending: list[_Write | _Resize | _Naming] = field(default_factory=list)
    settled: int = 0
    """How many changes last, of all that there ever were."""

    def change(self, change: _Write | _Resize | _Naming) -> None:
        self.pending.append(change)

    @property
    def changes(self) -> int:
        return self.settled + len(self.pending)

    def settle(self, until: int) -> None:
        """Make the changes up to this one last."""
        count = max(0, until - self.settled)
        for change in self.pending[:count]:
            self._apply(change, self.lasting, self.lasting_names)
        del self.pending[:count]
        self.settled += count

    def after_the_cut(self, chance: random.Random | None) -> tuple[bytearray, dict[str, _Node]]:
        content, names = bytearray(self.lasting), dict(self.lasting_names)
        if chance is not None and self.is_folder:
            for change in self.pending[: chance.randint(0, len(self.pending))]:
                self._apply(change, content, names)
        elif chance is not None:
            for change in self.pending:
                fate = chance.random()
                if fate < 0.5:
                    self._apply(change, content, names)
                elif fate < 0.75 and isinstance(change, _Write):
                    for torn in change.sectors():
                        if chance.random() < 0.5:
                            self._apply(torn, content, names)
        return content, names

    @staticmethod
    def _apply(change: _Write | _Resize | _Naming, content: bytearray, names: dict[str, _Node]) -> None:
        match change:
            case _Write(offset, data):
                content.extend(bytes(max(0, offset + len(data) - len(content))))
                content[offset : offset + len(data)] = data
            case _Resize(size):
                content.extend(bytes(max(0, size - len(content))))
                del content[size:]
            case _Naming(changed):
                for name, node in changed.items():
                    names.pop(name, None)
                    if node is not None:
                        names[name] = node


@dataclass(frozen=True)
class _Write:
    offset: int
    data: bytes

    def sectors(self) -> list[_Write]:
        """The same, in the pieces that a disk writes at once."""
        cuts = [self.offset, *range(self.offset // SECTOR * SECTOR + SECTOR, self.offset + len(self.data), SECTOR)]
        ends = [*cuts[1:], self.offset + len(self.data)]
        return [
            _Write(begin, self.data[begin - self.offset : end - self.offset])
            for begin, end in zip(cuts, ends, strict=True)
        ]


@dataclass(frozen=True)
class _Resize:
    size: int


@dataclass(frozen=True)
class _Naming:
    """Names that change together: a rename is two."""

    changed: dict[str, _Node | None]


class Disk:
    """What a trace did to everything below one folder, which was there and empty before."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = _Node(is_folder=True)
        self._places: dict[tuple[str, str], int] = {}
        self._begun: dict[int, int] = {}

    def follow(self, moment: Moment) -> None:
        """Take one moment of the trace into account."""
        call = moment.call
        if call.name in SYNCS:
            node = self._find(call.target)
            if node is None:
                return
            if not moment.ends:
                self._begun[call.entered] = node.changes
            elif call.succeeded:
                node.settle(self._begun.pop(call.entered))
        elif moment.ends and call.succeeded and call.name in CHANGING:
            self._change(call)

    def cut(self, into: Path, chance: random.Random | None = None) -> Path:
        """Write down what there would be, had the power gone now."""
        self._write_down(self._top, into, chance)
        return into

    def _change(self, call: Call) -> None:
        match call.name:
            case "open" | "openat" | "openat2" | "creat":
                self._open(call)
            case "write" | "pwrite64":
                self._write(call)
            case "ftruncate":
                node = self._find(call.target)
                if node is not None:
                    (node.size,) = (int(call.arguments.rpartition(",")[2]),)
                    node.change(_Resize(node.size))
            case "rename" | "renameat" | "renameat2":
                self._rename(*call.paths)
            case "unlink" | "unlinkat":
                self._name(call.paths[-1], None)
            case "mkdir" | "mkdirat":
                self._name(call.paths[-1], _Node(is_folder=True))
            case "mmap" if "PROT_WRITE" not in call.arguments or "MAP_SHARED" not in call.arguments:
                pass
            case "mmap" if call.target.endswith("-shm"):
                pass  # what SQLite shares among its connections; it lasts no longer than they do
            case _:
                about = [call.target, *(call.paths if call.name != "writev" else ())]
                assert not any(self._is_inside(path) for path in about), f"not understood: {call.name} of {about}"

    def _open(self, call: Call) -> None:
        path = call.opened
        if not self._is_inside(path) or path == str(self._root):
            return
        node = self._find(path)
        flags = call.arguments.rpartition('"')[2]
        if node is None:
            if "O_CREAT" not in flags:
                return  # it was there before, and nobody asks for what it holds
            node = _Node()
            self._name(path, node)
        elif "O_TRUNC" in flags:
            node.size = 0
            node.change(_Resize(0))
        self._places[path, str(call.result)] = -1 if "O_APPEND" in flags else 0

    def _write(self, call: Call) -> None:
        node = self._find(call.target)
        if node is None:
            return
        data = call.data[: call.result]
        if call.name == "pwrite64":
            offset = call.numbers[-1]
        else:
            key = call.target, call.arguments.partition("<")[0]
            place = self._places.get(key, 0)
            offset = node.size if place < 0 else place
            if place >= 0:
                self._places[key] = offset + len(data)
        node.size = max(node.size, offset + len(data))
        node.change(_Write(offset, data))

    def _rename(self, source: str, target: str) -> None:
        if not self._is_inside(source) and not self._is_inside(target):
            return
        node = self._find(source)
        assert node is not None, source
        assert Path(source).parent == Path(target).parent, "a rename within one folder is atomic"
        folder = self._folder(target)
        changed = {Path(target).name: node, Path(source).name: None}
        folder.change(_Naming(changed))
        folder.names[Path(target).name] = folder.names.pop(Path(source).name)

    def _name(self, path: str, node: _Node | None) -> None:
        if not self._is_inside(path) or path == str(self._root):
            return
        folder, name = self._folder(path), Path(path).name
        folder.change(_Naming({name: node}))
        folder.names.pop(name, None)
        if node is not None:
            folder.names[name] = node

    def _folder(self, path: str) -> _Node:
        folder = self._find(str(Path(path).parent))
        assert folder is not None, path
        return folder

    def _find(self, path: str) -> _Node | None:
        if not self._is_inside(path):
            return None
        node: _Node | None = self._top
        for part in Path(path).relative_to(self._root).parts:
            node = None if node is None else node.names.get(part)
        return node

    def _is_inside(self, path: str) -> bool:
        return bool(path) and Path(path).is_relative_to(self._root)

    def _write_down(self, node: _Node, path: Path, chance: random.Random | None) -> None:
        content, names = node.after_the_cut(chance)
        if not node.is_folder:
            path.write_bytes(content)
            return
        path.mkdir(mode=0o700)
        for name, child in names.items():
            self._write_down(child, path / name, chance)
