"""The former name of `python -m dataset_scripts.to_conll`."""

from __future__ import annotations

import sys

from dataset_scripts.to_conll import main

if __name__ == "__main__":
    print("`dataset_scripts.export` is now called `dataset_scripts.to_conll`.", file=sys.stderr)
    main()
