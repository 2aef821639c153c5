"""dspex inside a FastAPI service: `python3 examples/fastapi_service.py`, then

    curl -s localhost:8000/judge -H 'content-type: application/json' -d '{"review": "Great value."}'

One system for the life of the service; each request is a message to a spawned program. A client that goes away
cancels its call, down to the request to the model.
"""

import sys

from model import setup, small_model

if __name__ == "__main__":
    setup("serve", packages=("fastapi",))

from typing import Annotated, Literal

import dspex


class Judge(dspex.Signature):
    """Decide whether each review is positive or negative."""

    review: str = dspex.InputField()
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


def make_app(settings):
    """The service. `settings` are those of `dspex.System`: the model, the adapter, ..."""
    from fastapi import Depends, FastAPI
    from pydantic import BaseModel

    from dspex.serve import Caller, error_handler, lifespan, program

    class Review(BaseModel):
        review: str

    app = FastAPI(lifespan=lifespan({"judge": dspex.Predict(Judge)}, name="service", **settings))
    app.add_exception_handler(dspex.DspexError, error_handler)

    @app.post("/judge")
    async def judge(body: Review, judge: Annotated[Caller, Depends(program("judge"))]):
        prediction = await judge.acall(review=body.review, timeout=30)
        return {"sentiment": prediction.sentiment}

    return app


def main():
    """Serve until Ctrl-C."""
    import uvicorn

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with small_model() as settings:
        uvicorn.run(make_app(settings), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
