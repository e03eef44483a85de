"""The former name of `python -m configuration_2mner.summary`, which it runs. No model imports it, so that it never travels."""

import runpy
import sys

if __name__ == "__main__":
    print("This command is now `python -m configuration_2mner.summary`.", file=sys.stderr)
    runpy.run_module("configuration_2mner.summary", run_name="__main__")
