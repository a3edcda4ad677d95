"""``python -m reporter`` is ``placement-reporter``."""

import sys

from reporter.cli import main

sys.exit(main())
