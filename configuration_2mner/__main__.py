"""`python -m configuration_2mner`: list the named settings."""

from configuration_2mner import available

for kind in ("models", "runs"):
    print(f"{kind}:", *available(kind), sep="\n  ")
