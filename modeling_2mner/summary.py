"""The former name of `python -m configuration_2mner.summary`; not part of checkpoints."""

import runpy
import sys

if __name__ == "__main__":
    print("`modeling_2mner.summary` is now called `configuration_2mner.summary`.", file=sys.stderr)
    runpy.run_module("configuration_2mner.summary", run_name="__main__")
