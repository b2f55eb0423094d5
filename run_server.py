"""What the Procfile starts: config, app, serve."""

import sys

from chatzilla.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
