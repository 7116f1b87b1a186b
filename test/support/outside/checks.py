"""Checks that a Python program runs one after another; a line of JSON each says how it went."""

import json
import traceback


class Checks:
    def __init__(self):
        self._checks = []

    def check(self, name):
        def register(function):
            self._checks.append((name, function))
            return function

        return register

    def run(self):
        for name, function in self._checks:
            result = {"name": name}
            try:
                function()
            except Exception as error:  # Whatever it is, it is this check's failure.
                where = traceback.extract_tb(error.__traceback__)[-1]
                result["failure"] = f"{type(error).__name__}: {error} (line {where.lineno}: {where.line})"
            print(json.dumps(result), flush=True)


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def holds(condition, what):
    assert condition, what
