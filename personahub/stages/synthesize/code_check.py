"""Is the Python of an answer a function that does something? It is read, never run."""

import ast
import warnings


def why_no_code(code: str, name: str, tests: str) -> str | None:
    """What the code or its tests lack, or None: a module-level function of that name whose body is more than a comment, and an assert."""
    tree, problem = _parsed(code)
    if tree is None:
        return f"the code is no Python: {problem}"
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name]
    if not functions:
        return f"the code defines no function {name}"
    if all(map(_does_nothing, functions[-1].body)):
        return f"the body of {name} is empty"
    tests_tree, problem = _parsed(tests)
    if tests_tree is None:
        return f"the tests are no Python: {problem}"
    return None if any(isinstance(node, ast.Assert) for node in ast.walk(tests_tree)) else "the tests assert nothing"


def _parsed(source: str) -> tuple[ast.Module | None, str | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backslash in a model's string is no user's concern
            return ast.parse(source), None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return None, str(error) or type(error).__name__


def _does_nothing(statement: ast.stmt) -> bool:
    """pass, a docstring or "...", a return of nothing, `raise NotImplementedError`."""
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    nothing = isinstance(statement, ast.Return) and (
        statement.value is None or (isinstance(statement.value, ast.Constant) and statement.value.value is None)
    )
    return nothing or isinstance(statement, ast.Pass)
