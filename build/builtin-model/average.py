"""Averages the weights of two trainings into WORK_DIR/model.pt.

    /usr/bin/python3 average.py WORK_DIR ONE.pt OTHER.pt

The round that makes the model doubt more takes some answers away; half way
between the model before and after it keeps most of what both gained.
"""

import sys
from pathlib import Path

import torch


def main():
    work, one, other = Path(sys.argv[1]), torch.load(sys.argv[2]), torch.load(sys.argv[3])
    one["weights"] = {k: 0.5 * v + 0.5 * other["weights"][k] for k, v in one["weights"].items()}
    torch.save(one, work / "model.pt")


if __name__ == "__main__":
    main()
