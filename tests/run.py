"""Set up an environment and run the whole test suite: `python3 tests/run.py [PYTEST ARGUMENTS]`.

`--setup` only sets up. Everything is installed into `.venv`, the real local language model included; what a test needs
and this machine lacks (PostgreSQL) is skipped and named at the end. `-n 2` spreads the tests over two processes.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples"))

from environment import LOCAL_MODEL, ROOT, ensure


def main():
    """Run pytest on the checkout with the given arguments, in the environment."""
    # Tests start hundreds of processes, and pytest rewrites every test module: without cached bytecode each of them
    # compiles everything again, which is most of the time that collecting takes.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    ensure(("-e", ".[test]"), *LOCAL_MODEL)
    arguments = sys.argv[1:]
    if arguments == ["--setup"]:
        return
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])


if __name__ == "__main__":
    main()
