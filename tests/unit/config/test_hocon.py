"""application.conf is read as TheHive reads it. Expected values are those of the reference implementation."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.config.hocon import Hocon, read
from propolis.errors import ConfigError


def parse(folder: Path, text: str, **environment: str) -> Hocon:
    file = folder / "application.conf"
    file.write_text(text)
    return read(file, environment=environment)


VALUES = [
    ("a = 1", "a", ("1",)),
    ("a : 1", "a", ("1",)),
    ("a = 007", "a", ("007",)),
    ("{a : 1}", "a", ("1",)),
    ("a { b = 1 }", "a.b", ("1",)),
    ("a.b = 1, a.c = 2", "a.c", ("2",)),
    ('"k.l".m = 1', '"k.l".m', ("1",)),
    ("1a = 5", "1a", ("5",)),
    ("a = 1 2 3 # comment", "a", ("1 2 3",)),
    ("a = 1 minute // comment", "a", ("1 minute",)),
    ('a = "x#y//z"', "a", ("x#y//z",)),
    ('a = " x "', "a", (" x ",)),
    ('a = "x\\u0041\\n\\"\\\\"', "a", ('xA\n"\\',)),
    ('a = """t"q\\n"""', "a", ('t"q\\n',)),
    ('a = """two\nlines"""', "a", ("two\nlines",)),
    ("a =\n  5", "a", ("5",)),
    ("a = null", "a", ()),
    ('a = "null"', "a", ("null",)),
    ("a = 1\na = null", "a", ()),
    ("a { b = [1,\n2,\n] }", "a.b", ("1", "2")),
    ("a = [x] [y]", "a", ("x", "y")),
    ("a = [1]\na += 2\na += 3", "a", ("1", "2", "3")),
    ("a.b += x\na.b += y", "a.b", ("x", "y")),
    ("a = 1\na = ${a}2\na = ${a}3", "a", ("123",)),
    ("p = [/etc]\np = ${p} [/usr]", "p", ("/etc", "/usr")),
    ('u = "http://"${h}":9100"\nh = x', "u", ("http://x:9100",)),
    ("a = x\na = ${?NOT_SET}", "a", ("x",)),
    ("a = ${?NOT_SET}", "a", ()),
    ("a = ${?b}\nb = ${?a}", "a", ()),
    ("a = ${ENV}", "a", ("from outside",)),
    ("ENV = inside\na = ${ENV}", "a", ("inside",)),
    ("a = b ${?NOT_SET} c", "a", ("b  c",)),
    ("bar : { foo : 42, baz : ${bar.foo} }\nbar : { foo : 43 }", "bar.baz", ("43",)),
    ("foo : { a : { c : 1 } }\nfoo : ${foo.a}\nfoo : { a : 2 }", "foo.a", ("2",)),
    ("a = 5\na.b = 6", "a.b", ("6",)),
    ("a.b = 6\na = 5", "a.b", ()),
    ("b = {q = 7}\na = ${b} {y = 2}", "a.q", ("7",)),
    ("a = {x = 1} {y = 2}", "a.y", ("2",)),
    ("a = {x = 1}\na = {y = 2}", "a.x", ("1",)),
    ("a = ${b.c}\nb = {c = 1}\nb = ${d}\nd = {c = 2}", "a", ("2",)),
    ("a b c = 3", '"a b c"', ("3",)),
    ("", "a", ()),
    ("a = 1\na.b = ${?NOT_SET}", "a.b", ()),
    ("a = [1.50, 007, 1e3, true, yes, 10 s]", "a", ("1.50", "007", "1e3", "true", "yes", "10 s")),
    ("b = ${a}\na = 1\na = ${?NOT_SET}", "b", ("1",)),
    ("b = ${a}\na = 1\na = ${?ENV}", "b", ("from outside",)),
    ("a = {b = ${NOT_SET}}\na = {b = 4}", "a.b", ("4",)),
    ('a."b.c".l = [1]', 'a."b.c".l', ("1",)),
    ('a = ["x\\"y"]\r\nb = 2\r\n', "a", ('x"y',)),
]


@pytest.mark.parametrize(("text", "key", "expected"), VALUES)
def test_a_value_is_what_the_reference_implementation_gives(
    tmp_path: Path, text: str, key: str, expected: tuple[str, ...]
) -> None:
    assert parse(tmp_path, text, ENV="from outside").texts(key) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = http://x", 2),
        ('a = "open', 1),
        ("a = {\n b = 1\n", 2),
        ("a = }", 1),
        ("= 5", 1),
        ("a = [1", 1),
        ("a = 1\n}\n", 2),
        ("[1, 2]", 1),
        ("a", 1),
        ("a = ", 1),
        ('a = "\\q"', 1),
        ('\ninclude required("nope")', 2),
        ("a = ${x y", 1),
    ],
)
def test_malformed_text_names_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"application\.conf:{line}: can't be read as HOCON"):
        parse(tmp_path, text)


def test_a_required_substitution_of_nothing_names_its_line(tmp_path: Path) -> None:
    hocon = parse(tmp_path, "x = 1\na = p${x}w${nope.here}\nb = ${x}\nc = [x, y]")
    with pytest.raises(ConfigError, match=r"application\.conf:2: \$\{nope\.here\} is neither"):
        hocon.text("a")
    assert hocon.text("x") == hocon.text("b") == "1"


def test_a_variable_that_is_not_set_spoils_only_the_values_it_is_part_of(tmp_path: Path) -> None:
    text = (
        'a = x\na = ${?SET}\nb = "p"${nope}\nl = [1, ${nope}]\nk = [1, ${SET}]\nc = ${b}\nd = ${other}\nz = ${?nope2}'
    )
    hocon = parse(tmp_path, text, SET="y")
    assert (hocon.text("a"), hocon.texts("k"), hocon.text("z")) == ("y", ("1", "y"), None)
    for key in "blc":
        with pytest.raises(ConfigError, match=r"application\.conf:\d: \$\{nope\} is neither"):
            hocon.texts(key)
    with pytest.raises(ConfigError, match=r"application\.conf:7: \$\{other\} is neither"):
        hocon.text("d")
    with pytest.raises(ConfigError, match=r"application\.conf:1: \$\{nope\} is neither"):
        parse(tmp_path, "a = ${nope} {b = 1}").text("a.b")
    with pytest.raises(ConfigError, match=r'application\.conf:1: \$\{"no pe"\} is neither'):
        parse(tmp_path, 'a = ${"no pe"}').text("a")


def test_no_message_repeats_the_text_of_a_line(tmp_path: Path) -> None:
    for text in ('password = "s3cret" }', 'password = "s3cret" ${nope}', "password = s3cret\npassword += x"):
        with pytest.raises(ConfigError) as error:
            parse(tmp_path, text).text("password")
        assert "s3cret" not in str(error.value)
    with pytest.raises(ConfigError, match="must be a single value") as error:
        parse(tmp_path, "password = [s3cret]").text("password")
    assert "s3cret" not in str(error.value)


def test_values_that_refer_to_one_another_in_a_circle_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"application\.conf:2: can't be read as HOCON: substitution cycle"):
        parse(tmp_path, "a = ${b}\nb = ${a}")


def test_mixing_lists_objects_and_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unsupported concatenation"):
        parse(tmp_path, "a = [1] {b = 2}").texts("a")
    with pytest.raises(ConfigError, match="must be a single value"):
        parse(tmp_path, "a = [1]").text("a")
    for text in ("a = [[1]]", "a = [{b = 1}]", "a = [null]", "a = {b = 1}"):
        with pytest.raises(ConfigError, match=r"application\.conf:1: a must be a list of single values"):
            parse(tmp_path, text).texts("a")
    with pytest.raises(ConfigError, match="unsupported concatenation"):
        parse(tmp_path, "a = 1\na += 2").texts("a")


def test_includes_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/deep.conf").write_text("deep = 1")
    (tmp_path / "sub/x.conf").write_text('include "deep.conf"\nx = ${?HOME_OF_X}none')
    hocon = parse(tmp_path, f'include "sub/x.conf"\ninclude file("{tmp_path}/sub/deep.conf")\ninclude "absent.conf"')
    assert hocon.text("deep") == "1"
    assert hocon.text("x") == "none"
    assert hocon.file == tmp_path / "application.conf"
    assert str(hocon.origin("x")) == f"{tmp_path}/sub/x.conf:2"


def test_an_include_inside_a_section_fills_that_section_and_its_substitutions_look_there_first(
    tmp_path: Path,
) -> None:
    (tmp_path / "part.conf").write_text("own = 1\nboth = ${own}\nouter = ${top}")
    hocon = parse(tmp_path, 'top = 9\nown = 7\nsection { include "part.conf" }')
    assert hocon.text("section.both") == "1"
    assert hocon.text("section.outer") == "9"


def test_the_extension_of_an_include_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text("k = v")
    assert parse(tmp_path, 'include required("secret")').text("k") == "v"


def test_a_file_that_includes_itself_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="include cycle"):
        parse(tmp_path, 'include "application.conf"')


def test_an_origin_is_the_line_of_the_assignment_that_counts(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text("\n\na.b = 3")
    hocon = parse(tmp_path, 'a { b = 1 }\na.c = 2\na.c = ${?NOT_SET}\ninclude "secret.conf"')
    assert str(hocon.origin("a.b")) == f"{tmp_path}/secret.conf:3"
    assert str(hocon.origin("a.c")) == f"{tmp_path}/application.conf:2"
    assert hocon.origin("zzz") is None
    assert hocon.has("a")
    assert hocon.has("a.c")
    assert not hocon.has("zzz")
    assert not hocon.has("a.c.d")


def test_an_origin_is_given_for_any_kind_of_value(tmp_path: Path) -> None:
    hocon = parse(tmp_path, "n = 1\nt = true\ns = x y\nl = [1]\no { k = 1 }\nd = 5 m\nnone = null")
    assert [str(hocon.origin(key)) for key in "ntslod"] == [f"{tmp_path}/application.conf:{n}" for n in range(1, 7)]
    assert hocon.origin("none") is None


@pytest.mark.parametrize("key", ["a..b", 'a."b', "a\0b"])
def test_what_is_no_key_is_an_error(tmp_path: Path, key: str) -> None:
    hocon = parse(tmp_path, "a = [1]")
    for look_up in (hocon.text, hocon.texts, hocon.origin, hocon.has):
        with pytest.raises(ConfigError, match=r"application\.conf"):
            look_up(key)


def test_an_include_that_may_not_be_read_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").mkdir()
    with pytest.raises(ConfigError, match=r"application\.conf:2: can't be read as HOCON: is dir"):
        parse(tmp_path, 'a = 1\ninclude "secret.conf"')


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "application.conf").write_bytes(b'a = 1\nb = "\xe9"')
    with pytest.raises(ConfigError, match=r"application\.conf:2: can't be read as HOCON: invalid utf8"):
        read(tmp_path / "application.conf")


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.conf: can't be read"):
        read(tmp_path / "absent.conf")


def test_text_nested_without_end_is_an_error_and_no_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too deep"):
        parse(tmp_path, "a = " + "[" * 100_000)


@settings(deadline=None)
@given(value=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_any_password_in_quotes_comes_back_unchanged(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    import json

    quoted = json.dumps(value)
    hocon = parse(tmp_path_factory.getbasetemp(), f"db {{ password = {quoted} }}\ncopy = ${{db.password}}")
    assert hocon.text("db.password") == value
    assert hocon.text("copy") == value


@settings(deadline=None)
@given(text=st.text(alphabet='ab.=:{}[]"$?+, \n#/\\1', max_size=60))
def test_whatever_the_text_only_a_config_error_comes_out(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        hocon = parse(tmp_path_factory.getbasetemp(), text)
        hocon.texts("a")
        hocon.texts("a.b")
    except ConfigError as error:
        assert "application.conf" in str(error)
