"""`python -m systest`: the same as the command `systest`."""

import sys

from systest.cli.main import main

sys.exit(main())
