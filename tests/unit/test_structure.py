"""Arrows of import point one way: doors know the core, the core knows the ports, drivers implement them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import chatzilla

PACKAGE: Final = Path(chatzilla.__file__).parent

MAY_KNOW: Final[dict[str, set[str]]] = {
    "errors": set(),
    "ports": {"core", "errors"},
    "clock": {"ports"},
    "config": {"core", "mail", "errors"},
    "control": {"errors"},
    "logs": {"core", "ports"},
    "tls": {"errors"},
    "core": {"core", "ports", "errors"},
    "wire": {"core", "errors"},
    "wire_calls": {"wire", "core", "errors"},
    "media": {"media", "core", "ports", "errors"},
    "realtime": {"realtime", "wire", "wire_calls", "core", "ports", "errors", "logs"},
    "web": {"web", "wire", "core", "ports", "errors", "logs"},
    "store": {"store", "core", "ports", "errors"},
    "mail": {"mail", "core", "ports", "errors"},
}
"""What each part of the house may import; whatever is not named here wires the others and may know all."""

WIRING: Final = {"__init__", "__main__", "app", "doctor", "loop", "operators", "serve", "stewards", "cli"}

FRAMEWORKS: Final = {"aiohttp", "socketio", "engineio", "sqlalchemy", "alembic", "jinja2", "aiosmtplib"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, those for type checking included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            if node.module == "chatzilla":
                found.update(f"chatzilla.{alias.name}" for alias in node.names)
            else:
                found.add(node.module)
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_part_of_the_house_has_its_place() -> None:
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} == MAY_KNOW.keys() | WIRING


def test_imports_point_one_way() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in PACKAGE.rglob("*.py")
        for module in imports(path)
        if part_of(path) not in WIRING and module.startswith("chatzilla.") and module != "chatzilla.__version__"
        if module.split(".")[1] not in MAY_KNOW[part_of(path)]
    ]
    assert not wrong


def test_nothing_but_the_wiring_knows_the_wiring() -> None:
    assert not WIRING & set().union(*MAY_KNOW.values())


def test_the_core_knows_no_framework_and_no_driver() -> None:
    wrong = {
        (path.name, module)
        for path in (PACKAGE / "core").rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] in FRAMEWORKS
    }
    assert not wrong


def test_only_the_configuration_reads_the_environment() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers == {"cli.py"}, "cli.py hands the environment to config.py; nobody else looks at it"
