"""The README's Python is run as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING

from tests.helpers.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Connect
    from tests.helpers.servers import Server


async def test_chatzilla_is_driven_from_python_as_the_readme_says(
    server: Server, connect: Connect, tmp_path: Path
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "http://127.0.0.1:5000" in example
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:5000", server.url))
    reader = await connect()
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    assert printed.decode().splitlines() == ["(True, 'bob@example.com')", "(True, 'hello')"]
    assert await reader.hears() == {"sender": "bob@example.com", "content": "hello"}
