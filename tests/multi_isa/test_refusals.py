"""Is what cannot be the same on every instruction set refused, in one line that says what to do?"""

import pytest

from cosim.errors import InputError
from launch import build, multi_isa

ONE_SIDED = {
    "variable": (
        "#ifdef __x86_64__\nint extra = 3;\n#else\nint extra(void);\n#endif\n"
        "int main(void) {\n#ifdef __x86_64__\nreturn extra;\n#else\nreturn 0;\n#endif\n}\n",
        r"p\.c: variable 'extra' exists on x86_64 only; declare and use it on all",
    ),
    "zero": (
        "int main(void) {\n#ifndef __riscv\nstatic volatile int seen;\nreturn seen++;\n#endif\n}\n",
        r"variable 'main\.seen' exists on x86_64 and aarch64 only",
    ),
    "thread-local": (
        "#ifdef __aarch64__\n_Thread_local int own = 1;\n"
        "int main(void) { return own; }\n#else\nint main(void) { return 0; }\n#endif\n",
        r"thread-local variable 'own' exists on aarch64 only",
    ),
    "content": (
        "#ifdef __riscv\nint width = 1;\n#else\nint width = 2;\n#endif\n"
        "int main(void) { return width; }\n",
        r"variable 'width' starts with other bytes on riscv64 than on x86_64",
    ),
    "function": (
        "static int one(int x) { return x + 1; }\nint (*chosen)(int);\n"
        "int main(int n, char **v) {\n(void)v;\n#ifdef __x86_64__\nchosen = one;\n#endif\n"
        "return chosen ? chosen(n) : 0; }\n",
        r"function 'one' has its address taken and exists on x86_64 only.*noinline, used, retain",
    ),
    "alignment": (
        "_Alignas(128) _Thread_local int wide = 1;\nint main(void) { return wide; }\n",
        r"'wide' is aligned to 128 bytes;.* 64 is the most",
    ),
    "compiler": (
        "int main(void) { return x; }\n",
        r"p\.c:1:25: error: use of undeclared identifier 'x'",
    ),
    "linker": (
        "int f(void); int main(void) { return f(); }\n",
        r"undefined symbol: f",
    ),
}


@pytest.mark.parametrize("case", ONE_SIDED)
def test_what_exists_on_some_only_is_named(case, tmp_path):
    text, message = ONE_SIDED[case]
    source = tmp_path / "p.c"
    source.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        multi_isa.build(source)
    assert "\n" not in str(caught.value)


def test_code_of_one_isa_alone_is_allowed(tmp_path):
    source = tmp_path / "p.c"
    source.write_text(
        "#include <stdio.h>\n#ifdef __x86_64__\n__attribute__((noinline)) int own(int x)"
        " { return x * 3; }\n#endif\nstatic const char *isa =\n"
        '"every"\n;int main(int n, char **v) {\n(void)v;\nputs(isa);\n'
        "#ifdef __x86_64__\nreturn own(n);\n#else\nreturn n * 3;\n#endif\n}\n"
    )
    assert set(multi_isa.build(source)) == set(multi_isa.ISAS)


@pytest.mark.parametrize(
    ("name", "isas", "message"),
    [
        ("p.c", ("x86_64", "arm64"), "'arm64': known are x86_64, aarch64, riscv64; did you mean"),
        ("missing.c", ("x86_64",), "missing.c: No such file"),
        ("p.o", ("x86_64",), "only a C file"),
    ],
)
def test_what_is_no_source_or_isa_is_refused(tmp_path, name, isas, message):
    (tmp_path / "p.c").write_text("int main(void) { return 0; }\n")
    with pytest.raises(InputError, match=message):
        multi_isa.build(tmp_path / name, isas)


def test_a_pair_must_be_built_together(tmp_path):
    built = []
    for value in (1, 2):
        source = tmp_path / "p.c"
        source.write_text(f"int main(void) {{ return {value}; }}\n")
        built.append(multi_isa.build(source, ("x86_64", "aarch64")))
    assert multi_isa.check_pair(built[0]).digest != multi_isa.check_pair(built[1]).digest
    mixed = {"x86_64": built[0]["x86_64"], "aarch64": built[1]["aarch64"]}
    with pytest.raises(InputError, match="built separately: layout digests differ; rebuild both"):
        multi_isa.check_pair(mixed)


def test_a_plain_program_is_no_part_of_a_pair(tmp_path):
    plain = build.build("hello", "x86_64")
    assert multi_isa.layout_of(plain) is None
    with pytest.raises(InputError, match="built for x86_64 only, it cannot migrate"):
        multi_isa.check_pair({"x86_64": plain})
    (tmp_path / "text").write_text("no ELF")
    with pytest.raises(InputError, match="text: the ELF is damaged"):
        multi_isa.check_pair({"x86_64": tmp_path / "text"})
    with pytest.raises(InputError, match="No such file"):
        multi_isa.check_pair({"x86_64": tmp_path / "none"})
