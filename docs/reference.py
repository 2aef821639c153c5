"""Write the reference from the docstrings: `python docs/reference.py [FOLDER]`, by default `build/reference`.

One page for each public package, one section for each name in its `__all__`. The pages are made when they are wanted
and not kept in the repository, where they would be out of date after every commit. A package that needs what is not
installed (those for tests need pytest) gets no page, and is named at the end.
"""

import argparse
import importlib
import inspect
from pathlib import Path

PACKAGES = (
    *(
        "dspex",
        "dspex.signatures",
        "dspex.types",
        "dspex.adapters",
        "dspex.primitives",
        "dspex.predict",
        "dspex.retrievers",
        "dspex.programs",
    ),
    *(
        "dspex.lm",
        "dspex.cache",
        "dspex.store",
        "dspex.quarantine",
        "dspex.evaluate",
        "dspex.teleprompt",
        "dspex.system",
    ),
    *("dspex.control", "dspex.datasets", "dspex.local", "dspex.testing"),
    *("supervision", "supervision.testing", "actors", "actors.runtime", "actors.stage", "actors.testing"),
)


def page(package):
    """The Markdown of one package."""
    module = importlib.import_module(package)
    parts = [f"# {package}", inspect.getdoc(module) or ""]
    for name in sorted(module.__all__):
        value = getattr(module, name)
        parts += [f"## {name}", *section(name, value)]
    return "\n\n".join(part for part in parts if part) + "\n"


def section(name, value):
    """Signature, docstring, and for a class its public methods."""
    if inspect.isclass(value):
        yield f"    class {name}{signature(value)}"
        yield own_doc(value)
        for key, member in sorted(vars(value).items()):
            function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            if key.startswith("_") or not own_doc(function) or isinstance(function, type):
                continue
            if isinstance(function, property):
                yield f"**{key}**: {own_doc(function)}"
            elif callable(function):
                yield f"**{key}**`{signature(function)}`: {own_doc(function)}"
    elif callable(value):
        yield f"    {name}{signature(value)}"
        yield own_doc(value)
    else:
        text = repr(value)
        yield f"    {name}: {type(value).__name__}" + ("" if " at 0x" in text or len(text) > 80 else f" = {text}")


def own_doc(value):
    """The docstring that was written for it: not an inherited one, and not the signature that dataclasses write."""
    text = getattr(value, "__doc__", None)
    if not isinstance(text, str) or text.startswith(f"{getattr(value, '__name__', '')}("):
        return ""
    return inspect.cleandoc(text)


def signature(value):
    """The arguments as written, or nothing where Python does not know them."""
    try:
        return str(inspect.signature(value)).replace("'", "")
    except (TypeError, ValueError):
        return "(...)"


def main():
    """Write all pages, and an index."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/reference"), help="where the pages go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    written, left_out = [], {}
    for package in PACKAGES:
        try:
            text = page(package)
        except ModuleNotFoundError as error:
            left_out[package] = error.name
            continue
        (folder / f"{package}.md").write_text(text, encoding="utf-8")
        written.append(package)
    links = [f"- [{package}]({package}.md)" for package in written]
    (folder / "README.md").write_text("# Reference\n\n" + "\n".join(links) + "\n", encoding="utf-8")
    print(f"{len(written)} pages in {folder}")
    for package, needed in left_out.items():
        print(f"no page for {package}: it needs {needed}, which is not installed here")


if __name__ == "__main__":
    main()
