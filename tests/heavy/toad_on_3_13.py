"""Runs Toad on Python 3.13. It asks for 3.14, but needs of it only that annotations are not evaluated, and a
pool of interpreters for its search of files, for which threads do.

Nothing of Toad is changed on the disk: its modules are compiled as if they began with
`from __future__ import annotations`.
"""

import __future__

import concurrent.futures
import sys
from importlib.machinery import PathFinder, SourceFileLoader


class Loader(SourceFileLoader):
    def get_code(self, fullname):
        # Without caches: what is in them was compiled in the other way.
        source, flag = self.get_data(self.path), __future__.annotations.compiler_flag
        return compile(source, self.path, "exec", flag, dont_inherit=True)


class Finder(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.split(".")[0] != "toad":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, Finder)
concurrent.futures.InterpreterPoolExecutor = concurrent.futures.ThreadPoolExecutor

import toad.acp.agent  # noqa: E402
import toad.cli  # noqa: E402
import toad.jsonrpc  # noqa: E402

# The types of a method's parameters are looked up where they are read, by the names of where they are written.
for name, value in vars(toad.acp.agent).items():
    vars(toad.jsonrpc).setdefault(name, value)

sys.argv[0] = "toad"
toad.cli.main()
