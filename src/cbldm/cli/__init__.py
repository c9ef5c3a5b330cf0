"""The command line: a thin layer that reads options, shows progress and turns errors into one line and exit code 2.

A module for each command; what several need is in `cbldm.cli.shared`.
"""

import gc
import sys

# Help lists the commands in this order.
from cbldm.cli import solve, batch, app as _app, series, plot, info, refine, calibrate, simulate, train, evaluate  # noqa: F401 # isort: skip
from cbldm.cli.shared import app
from cbldm.errors import CbldmError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; what a user can mend ends in one line and exit code 2."""
    try:
        app()
    except CbldmError as error:
        print(f"cbldm: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    finally:
        # Else the interpreter's last collections walk all that torch has loaded: most of a second.
        gc.freeze()
