"""The server as it is, but its write-ahead log moves to the database all the time: a hundred letters see many moves."""

import sys

from chatzilla.cli import main
from chatzilla.store import database

if __name__ == "__main__":
    assert database.CHECKPOINT_PAGES > 0
    database.CHECKPOINT_PAGES = 30  # type: ignore[misc]  # for this process alone
    sys.exit(main(["serve", *sys.argv[1:]]))
