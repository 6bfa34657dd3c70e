"""`python -m curate` is the command line."""

import sys

from curate.cli import main

sys.exit(main())
