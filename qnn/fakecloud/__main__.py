"""``python -m qnn.fakecloud``: the same as ``qnn fakecloud``."""

import argparse
import sys

from qnn.errors import QnnError
from qnn.fakecloud import command

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m qnn.fakecloud")
    command.add_options(parser)
    try:
        sys.exit(command.run(parser.parse_args()))
    except QnnError as error:
        sys.exit(f"qnn: {error}")
