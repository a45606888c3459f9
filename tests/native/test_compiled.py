"""Is compiled code made anew when a module changes that it takes a constant from?"""

import re
import shutil

from cosim.compiled import SOURCE_ROOT, sources_digest

PACKAGES = ("cosim", "isa_*", "launch", "memsys")
COMPILES = re.compile(r"^@(?:kernel|inline_kernel|inner_kernel|cfunc|numba\.njit)\b", re.M)


def test_the_cache_folder_follows_every_module_that_compiles_and_what_it_imports(tmp_path):
    files = (path for package in PACKAGES for path in SOURCE_ROOT.glob(f"{package}/**/*.py"))
    sources = [path for path in files if COMPILES.search(path.read_text())]
    packages = {path.relative_to(SOURCE_ROOT).parts[0] for path in sources}
    assert {"cosim", "isa_x86", "memsys"} <= packages
    for package in packages:
        shutil.copytree(SOURCE_ROOT / package, tmp_path / package)
    named = sources_digest(tmp_path)
    for path in [
        *(tmp_path / source.relative_to(SOURCE_ROOT) for source in sources),
        tmp_path / "isa_x86" / "instructions" / "layout.py",
        tmp_path / "isa_x86" / "registers.py",
    ]:
        text = path.read_text()
        path.write_text(text + "CHANGED = 1\n")
        assert sources_digest(tmp_path) != named, path
        path.write_text(text)
        assert sources_digest(tmp_path) == named
