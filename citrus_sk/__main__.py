"""``python -m citrus_sk`` is ``citrus-sk``."""

from .cli.parser import main

if __name__ == "__main__":
    raise SystemExit(main())
