"""What YAML reads otherwise than it is written is refused, with its line and the cure; what it reads right is read."""

import pytest
import yaml

from neuroinverse import config
from neuroinverse.errors import ConfigError
from neuroinverse.yaml_files import read

REFUSED = [
    ("twice", "a: 1\nb: 2\na: 3", "line 3: a: the key 'a' is given twice, in lines 1 and 3"),
    (
        "twice, nested",
        "d:\n  train: {n: 1}\n  test: 2\n  train: {n: 3}",
        "line 4: d.train: the key 'train' is given twi",
    ),
    ("twice, flow style", "a: {b: 1, c: 2, b: 1}", "line 1: a.b: the key 'b' is given twice, in line 1"),
    ("twice, in a list", "a:\n- {b: 1}\n- b: 1\n  b: 2", "line 4: a.1.b: the key 'b' is given twice, in lines 3 and 4"),
    ("twice, in quotes", "'a': 1\n\"a\": 2", "the key 'a' is given twice"),
    ("twice, under an anchor", "a: &x {b: 1, b: 2}\nc: *x", "line 1: a.b: the key 'b' is given twice"),
    ("merged twice", "a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x", "line 4: c.<<: the key '<<' is given twice"),
    (
        "merged of two",
        "a: &x {b: 1}\nc: &y {b: 2}\nd: {<<: [*x, *y]}",
        "line 3: d: << merges the key 'b' twice, in lin",
    ),
    ("exponent", "a: 1e-4", "line 1: a: YAML reads 1e-4 as text; write 1.0e-4"),
    ("decimal comma", "a: {b: 1}\nc: 1,5", "line 2: c: YAML reads 1,5 as text; write 1.5"),
    ("octal", "a: 010", "010 begins with 0, and YAML takes it for octal; write 10"),
    ("no octal", "a: 09", "write 9"),
    ("octal of YAML 1.2", "a: 0o17", "0o17 begins with 0"),
    ("sexagesimal", "a: 1:30", "YAML reads 1:30 as a number to the base of 60"),
    ("yes", "a: yes", "YAML reads yes as true; write true"),
    ("Norway", "a: NO", 'YAML reads NO as false; write false, or for the text "NO", in quotes'),
    ("on as a key", "on: 1", "the key on is read as no text"),
    ("a number as a key", "a: {1: 2}", "line 1: a: the key 1 is read as no text"),
    ("a date", "a: 2018-05-09", "reads 2018-05-09 as a date"),
    ("infinite", "a: [1, -.inf]", "a.1: -.inf is not a finite number"),
    ("not a number", "a: .NaN", ".NaN is not a finite number"),
    ("beyond all numbers", "a: 1.0e+999", "not a finite number"),
    ("digits without end", f"a: {'9' * 400}", "not a finite number"),
    ("a tag", "a: !!python/name:os.system x", "the tag !!python/name:os.system has no meaning here"),
    ("a set", "a: !!set {b, c}", "the tag !!set"),
    ("an anchor in itself", "a: &x [*x]", "an anchor that holds itself"),
    ("a tab", "a:\n\tb: 1", "line 2: cannot be read as YAML: .*indent with spaces"),
    ("two documents", "a: 1\n---\nb: 2", "line 3: a second document begins"),
    ("nothing", "", "expected keys and values, found nothing"),
    ("a comment alone", "# a: 1", "expected keys and values, found nothing"),
    ("a list", "- a: 1", "expected keys and values, found list"),
    ("a text", "a", "expected keys and values, found str"),
    ("a list as a key", "? [a]\n: 1", "a list or a section as a key"),
    ("no anchor", "a: *x", "line 1: cannot be read as YAML: found undefined alias"),
    ("brackets", "a: " + "[" * 3000, "nested too deeply"),
    ("latin-1", "a: ü".encode("latin-1"), "not UTF-8 .*; save it as UTF-8"),
    ("UTF-16", "a: 1".encode("utf-16"), "not UTF-8"),
]


@pytest.mark.parametrize(("text", "said"), [m[1:] for m in REFUSED], ids=[m[0] for m in REFUSED])
def test_what_is_misread_is_refused(tmp_path, text, said):
    file = tmp_path / "x.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=said.replace("[", r"\[").replace("*", r"\*").replace(r".\*", ".*")) as caught:
        read(file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: {a: 1}\nc: [{a: 1}, {a: 1}]",
        "a: &x {n: 1, m: 2}\nb: {<<: *x, n: 3}\nc: *x",
        "a: [0, -0.5, 0.0, 1.0e-4, .5, 1_000, 0x1f, 0.01, true, False, null, ~]",
        'a: ["010", \'1e-4\', "yes", "1:30", "2018-05-09"]',
        "title: 1e-4\nunit: 1,5\nreferences: [1e5]\npublished_scaling: {1000: 0.5}",
        "a: |\n  yes\n  1e-4\n",
        "\ufeffa: 1\r\nb: 2\r\n",
        "---\na: ü\n...\n",
    ],
)
def test_what_is_read_right_is_read(tmp_path, text):
    file = tmp_path / "x.yaml"
    file.write_bytes(text.encode())
    assert read(file) == yaml.safe_load(text)


def test_networks_spaces_and_the_configuration_are_read_so_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("networks", "search", "studies"):
        (tmp_path / "config" / folder).mkdir(parents=True)
    (tmp_path / "config" / "config.yaml").write_text("master_seed: 1\nstudies: {a: demo}\nstudies: {b: demo}\n")
    with pytest.raises(ConfigError, match=r"config\.yaml, line 3: studies: the key 'studies' is given twice"):
        config.master_seed()
    (tmp_path / "config" / "search" / "mine.yaml").write_text("conv_blocks: 1\nconv_blocks: 2\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 2: conv_blocks"):
        config.read_space("mine")
    (tmp_path / "config" / "networks" / "mine.yaml").write_text("epochs: 1\nepochs: 2\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 2: epochs"):
        config._read_network("mine", "here")
