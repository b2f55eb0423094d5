"""python -m chatzilla"""

import sys

from chatzilla.cli import main

sys.exit(main())
