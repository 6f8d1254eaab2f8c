"""`python -m benchmarks.gpu`: names missing packages before anything imports them."""

import sys

from benchmarks.gpu.requirements import ROOT, missing

if __name__ == "__main__":
    if "--adopt" not in sys.argv and (lacking := missing(ROOT)):
        sys.stderr.write(f"benchmarks.gpu: this Python lacks {', '.join(lacking)}\n")
        sys.exit(2)
    from benchmarks.gpu.command import main

    main()
