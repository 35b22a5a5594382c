"""Finds the project's test vectors and what optional packages this Python has."""

import importlib
import json
import os
import unittest


def project_root() -> str:
    at = os.path.dirname(os.path.abspath(__file__))
    while not os.path.exists(os.path.join(at, "package.json")):
        at = os.path.dirname(at)
    return at


def load(name):
    with open(os.path.join(project_root(), "schemas", "vectors", name), encoding="utf-8") as file:
        return json.load(file)


def needs(name):
    """Skips a test, with one line, where the package is absent; the test imports it itself."""
    try:
        importlib.import_module(name)
    except ImportError:
        return unittest.skip(f"{name} is not installed")
    return lambda test: test
