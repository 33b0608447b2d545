"""Runs a command in a process in which no file may grow beyond a limit: `full_disk.py BYTES ARGUMENTS...`; -1 is none.

It fails as a full disk does, in the middle of a write, whoever runs the tests.
"""

import resource
import sys

from kdsnn.cli.main import main

if __name__ == "__main__":
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["kdsnn", *sys.argv[2:]]
    main()
