"""``python -m qnn``: the same as the command ``qnn``."""

import sys

from qnn.cli import main

sys.exit(main())
