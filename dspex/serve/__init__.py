"""Programs behind HTTP: inside your own FastAPI or Starlette application, or as a service of their own."""

from dspex.serve._app import make_app
from dspex.serve._dependency import Caller, caller, program, system
from dspex.serve._lifespan import lifespan
from dspex.serve._problems import Problem, error_handler, problem_of
from dspex.serve._run import serve

__all__ = [
    "Caller",
    "Problem",
    "caller",
    "error_handler",
    "lifespan",
    "make_app",
    "problem_of",
    "program",
    "serve",
    "system",
]
