"""``python -m cbldm.training CONFIG OUT``: `cbldm train` for a machine that has only numpy, scipy and torch."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from cbldm.errors import CbldmError
from cbldm.training import read_config, train


def main() -> int:
    """Train, or go on where a checkpoint stopped; 2 where the config or the checkpoint cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m cbldm.training", description=main.__doc__)
    parser.add_argument("config", help="a TOML file, or the name of a config that ships")
    parser.add_argument("out", type=Path, help="folder for checkpoint, curve and weights")
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--devices", type=int, help="processes on each node, a device each")
    parser.add_argument("--nodes", type=int, help="machines; NODE_RANK and MASTER_ADDR say which this is")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this time; run again to go on")
    options = parser.parse_args()
    try:
        config = read_config(options.config)
        weights = train(config, options.out, accelerator=options.accelerator, devices=options.devices,
                        nodes=options.nodes, minutes=options.minutes)  # fmt: skip
    except CbldmError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"weights written to {weights}" if weights else f"no weights yet: train again with {options.out} to go on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
