"""Programs with errors: each refused with its place and with what to do."""

import re
import sys
import threading

import pytest
from qasm_unitaries import LEGACY, STANDARD

from qnn.circuits.qasm import read_qasm
from qnn.errors import ArgumentError, QasmError, QnnError, UnsupportedError

# The program, its line and column, and the message; line 3 is the first after the head.
WRONG = {
    "missing parenthesis": ("qubit q; rx(0.5 q;", 3, 17, 'syntax error at "q"'),
    "missing semicolon": ("qubit q;\nrx(0.5) q", 4, 10, "syntax error at the end of the text"),
    "illegal character": ("qubit q; $$", 3, 10, "token recognition error"),
    "misspelt gate": ("qubit q; hh q;", 3, 10, 'no gate named "hh" is defined. Did you mean "h"?'),
    "misspelt name": (
        "input float theta; qubit q; rx(thta) q;",
        3,
        32,
        '"thta" is not declared here. Did you mean "theta"?',
    ),
    "misspelt function": ("qubit q; rx(sni(1)) q;", 3, 13, 'no function named "sni". Did you mean "sin"?'),
    "function arguments": ("qubit q; rx(sin(1, 2)) q;", 3, 13, "sin takes 1 argument(s); got 2"),
    "misspelt register": ("qubit[2] qq; h q[0];", 3, 16, '"q" is not declared here. Did you mean "qq"?'),
    "index": ("qubit[2] q; cx q[0], q[2];", 3, 22, 'an index of "q" must be within 0 to 1; got 2'),
    "negative index": ("qubit[2] q; h q[-3];", 3, 15, 'an index of "q" must be within 0 to 1; got -3'),
    "fractional index": ("qubit[2] q; h q[0.5];", 3, 17, "An index must be an integer; got 0.5"),
    "index of a single qubit": ("qubit q; h q[0];", 3, 12, '"q" is a single qubit and has no index'),
    "index of an array": (
        "input array[float[64], 2] w; qubit q; rx(w[2]) q;",
        3,
        42,
        'an index of "w" must be within 0 to 1; got 2',
    ),
    "array without index": (
        "input array[float[64], 2] w; qubit q; rx(w) q;",
        3,
        42,
        '"w" has 1 dimensions; got 0 indices',
    ),
    "same qubit twice": ("qubit[2] q; cx q[1], q[1];", 3, 13, "a gate must act on different qubits; got q[1] twice"),
    "same qubit by broadcasting": ("qubit[2] q; cx q[1], q;", 3, 13, "different qubits; got q[1] twice"),
    "registers of two sizes": ("qubit[2] q; qubit[3] r; cx q, r;", 3, 25, "the same size; got sizes [2, 3]"),
    "no parameter": ("qubit q; rx q;", 3, 10, 'the gate "rx" takes 1 parameter; got 0'),
    "too many parameters": ("qubit q; x(1) q;", 3, 10, 'the gate "x" takes 0 parameters; got 1'),
    "too few qubits": ("qubit[2] q; cx q[0];", 3, 13, 'the gate "cx" takes 2 qubits; got 1'),
    "only controls": ("qubit q; ctrl @ x q;", 3, 10, 'the gate "x" takes 1 qubit; got 0'),
    "U": ("qubit q; U(1, 2) q;", 3, 10, 'the gate "U" takes 3 parameters; got 2'),
    "qubits of gphase": ("qubit[2] q; gphase(1) q[0];", 3, 13, "gphase acts on no qubits but its controls"),
    "recursion": (
        "gate foo a { x a; foo a; }\nqubit q; foo q;",
        3,
        19,
        'the gate "foo" calls itself, and gates cannot be recursive',
    ),
    "mutual recursion": (
        "gate foo a { bar a; }\ngate bar a { foo a; }",
        3,
        14,
        'the gate "bar" is used before its definition on line 4',
    ),
    "two definitions": (
        "gate foo a { x a; }\ngate foo a { y a; }",
        4,
        1,
        'the gate "foo" is already defined on line 3',
    ),
    "definition of U": ("gate U(a, b, c) q { x q; }", 3, 1, 'the gate "U" is already defined in the language'),
    "one name for two": ("gate foo(a) a { x a; }", 3, 1, 'names in the definition of "foo" must differ'),
    "unknown formal qubit": ("gate foo a { x b; }", 3, 14, 'the gate has no qubit named "b"'),
    "unknown formal parameter": (
        "gate foo(aa) q { rx(ab) q; }",
        3,
        21,
        '"ab" is not declared here. Did you mean "aa"?',
    ),
    "input in a gate": ("input float t; gate foo q { rx(t) q; }", 3, 32, '"t" is not declared here'),
    "formal qubit twice": ("gate foo a, b { cx a, a; }", 3, 17, "different qubits; one is named twice"),
    "too many qubits": (
        "qubit[1000000000] q;",
        3,
        1,
        "a program must have at most 1024 qubits; this one has 1000000000",
    ),
    "no qubits in a register": ("qubit[0] q;", 3, 1, 'the register "q" must have at least 1 qubit; got 0'),
    "free size": ("input float n; qubit[n] q;", 3, 21, "The size of a register must be constant; got n"),
    "two declarations": ("qubit q; bit q;", 3, 10, '"q" is already declared'),
    "constant overwritten": ("qubit pi;", 3, 1, '"pi" is already declared'),
    "endless loop": ("qubit q; for int i in [0:1000000000000] { x q; }", 3, 43, "unrolls into more than 100,000 gates"),
    "endless empty loop": (
        "qubit q; for int i in [0:1000000000000] { }",
        3,
        10,
        "unrolls into more than 100,000 gates",
    ),
    "endless power": ("qubit q; pow(1000000000) @ x q;", 3, 10, "unrolls into more than 100,000 gates"),
    "step 0": ("qubit q; for int i in [0:0:3] { x q; }", 3, 24, "the step of a range must not be 0"),
    "division of integers": (
        "qubit q; rx(1/2*pi) q;",
        3,
        13,
        "1/2 divides integers, which OpenQASM 3 rounds to 0. Write 1.0/2",
    ),
    "division by zero": ("qubit q; rx(1/0) q;", 3, 13, "/ of 1, 0 has no value"),
    "no real value": ("qubit q; rx(sqrt(-1)) q;", 3, 13, "sqrt of -1 has no value"),
    "complex power": ("qubit q; rx((-8.0)**0.5) q;", 3, 13, "has no value (the result is not a real number)"),
    "overflow": ("qubit q; rx(exp(1e9)) q;", 3, 13, "has no value"),
    "free condition": ("input float t; qubit q; if (t > 0) x q;", 3, 29, "a condition must be constant"),
    "too many controls": (
        "qubit[12] q; ctrl(11) @ x q[0], q[1];",
        3,
        14,
        "a number of controls must be within 1 to 10; got 11",
    ),
    "number as a qubit": ("const int n = 2; x n;", 3, 20, '"n" must be a qubit or a register of qubits'),
    "qubit as a number": ("qubit q; rx(q) q;", 3, 13, '"q" must be a number or a parameter here'),
    "measured into nothing": ("qubit q; measure q -> c;", 3, 10, '"c" is not declared here'),
    "measured into a qubit": ("qubit[2] q; measure q[0] -> q[1];", 3, 13, '"q" must be classical bits'),
    "measured into too few bits": ("qubit[2] q; bit c; c = measure q;", 3, 20, "as many bits as qubits; got 1 and 2"),
    "measured out of range": (
        "qubit q; bit[2] c; c[2] = measure q;",
        3,
        20,
        'an index of "c" must be within 0 to 1; got 2',
    ),
}

UNSUPPORTED = {
    "gate after measurement": (
        "qubit q; measure q;\nx q;",
        4,
        1,
        "a gate on q after its measurement on line 3 (mid-circuit measurement)",
    ),
    "second measurement": ("qubit q; measure q; measure q;", 3, 21, "a second measurement of q"),
    "reset": ("qubit q; x q; reset q;", 3, 15, "reset of q in the middle of the circuit"),
    "classical control": (
        "qubit q; bit c; c = measure q; if (c == 1) x q;",
        3,
        36,
        'the measured value "c" in an expression (classical control)',
    ),
    "while": ("qubit q; while (true) { x q; }", 3, 10, "a while loop"),
    "switch": ("switch (1) { case 1 { } }", 3, 1, "a switch"),
    "def": ("def f(qubit q) { x q; }", 3, 1, 'a subroutine ("def")'),
    "extern": ("extern f(int) -> int;", 3, 1, 'an "extern" function'),
    "defcal": ("defcal x q { }", 3, 1, 'a pulse definition ("defcal")'),
    "delay": ("qubit q; delay[100ns] q;", 3, 10, "a delay"),
    "box": ("qubit q; box { x q; }", 3, 10, "a box"),
    "assignment": ("int n = 3; n = 4;", 3, 12, "an assignment to a classical variable"),
    "uninitialised": ("int n;", 3, 1, 'the variable "n" without a value'),
    "duration": ("duration d = 10ns;", 3, 1, 'the duration variable "d"'),
    "pragma": ("pragma something", 3, 1, "a pragma"),
    "end": ("end;", 3, 1, '"end"'),
    "hardware qubit": ("x $0;", 3, 3, 'the hardware qubit "$0"'),
    "integer input": ("input int n;", 3, 1, 'the input "n", which is not a real number,'),
    "number as an output": ("output float x;", 3, 1, 'the output "x"'),
    "integer from an input": ("input float t; int n = t;", 3, 16, 'the variable "n", which is no real number,'),
    "fractional power": ("qubit q; pow(0.5) @ U(1, 2, 3) q;", 3, 10, "pow(0.5), a fractional power of several gates,"),
    "bit operator": ("qubit q; rx(3 ^ 1) q;", 3, 13, 'the operator "^"'),
    "loop in a gate": ("gate g q { for int i in [0:1] { x q; } }", 3, 12, "ForInLoop in a gate definition"),
    "loop over an array": (
        "input array[float[64], 2] w; qubit q; for float f in w { rx(f) q; }",
        3,
        39,
        "a loop over a variable",
    ),
    "include": ('include "mine.inc";', 3, 1, 'the include file "mine.inc"'),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [(QasmError, case) for case in WRONG.values()] + [(UnsupportedError, case) for case in UNSUPPORTED.values()],
    ids=[*WRONG, *UNSUPPORTED],
)
def test_place_and_message(kind, case, capfd):
    text, line, column, message = case
    with pytest.raises(kind, match=re.escape(f"line {line}, column {column}: ") + ".*" + re.escape(message)) as caught:
        read_qasm(STANDARD + text)
    _, shown, caret = str(caught.value).split("\n")
    assert shown.strip() == (STANDARD + text).split("\n")[line - 1].strip()
    assert caret == " " * (4 + column - 1) + "^"
    assert capfd.readouterr() == ("", "")  # the parser's own printing is held back


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.qasm"
    path.write_text("qubit q;\nh q;\n")
    with pytest.raises(QasmError, match=re.escape(f'{path}: line 2, column 1: no gate named "h"')):
        read_qasm(path)


def test_missing_include_is_named():
    with pytest.raises(QasmError, match=r'Add this line after the version: include "stdgates.inc";'):
        read_qasm("OPENQASM 3.0; qubit q; h q;")
    with pytest.raises(QasmError, match=r'Add this line after the version: include "qelib1.inc";'):
        read_qasm("OPENQASM 2.0; qreg q[1]; h q[0];")


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [("rx(2^2 + 3^bb) q[0];", 12, '"bb" is not declared'), ("rx(2^2^3 + ) q[0];", 12, r'syntax error at "\)"')],
)
def test_columns_count_the_text_as_written(line, column, message):
    """Version 2's `^` is rewritten for the parser, which must not move the places of errors."""
    with pytest.raises(QasmError, match=f"line 4, column {column}: {message}"):
        read_qasm(f"{LEGACY}qreg q[1];\n{line}")


def test_opaque_gates():
    with pytest.raises(UnsupportedError, match=r'line 4, column \d+: "opaque", a gate without a definition'):
        read_qasm(f"{LEGACY}qreg q[1];\nopaque foo(a) q;")


def test_exponential_definitions_end_early():
    gates = "".join(f"gate a{i + 1} q {{ {f'a{i} q; ' * 9}}}\n" for i in range(30))
    with pytest.raises(QasmError, match="unrolls into more than 100,000 gates"):
        read_qasm(f"{STANDARD}gate a0 q {{ x q; }}\n{gates}qubit q; a30 q;")


def test_deep_nesting():
    with pytest.raises(QnnError, match="nested too deeply"):
        read_qasm(f"{STANDARD}qubit q; rx({'(' * 500}1{')' * 500}) q;")


def test_other_versions():
    with pytest.raises(UnsupportedError, match=r"line 1, column 10: OpenQASM 4 is not known here. Use version 2 or 3"):
        read_qasm("OPENQASM 4.0; qubit q;")


@pytest.mark.parametrize("text", ["", "  \n", "// nothing\n", "/* no\nthing */"])
def test_empty(text):
    with pytest.raises(ArgumentError, match="must hold an OpenQASM program; got text without any statement"):
        read_qasm(text)


@pytest.mark.parametrize("text", ["OPENQASM 3.0;", STANDARD, f"{STANDARD}input float t;"])
def test_no_qubits(text):
    with pytest.raises(QasmError, match="must declare at least one qubit"):
        read_qasm(text)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "bell.qasm").write_text("qubit q;")
    with pytest.raises(ArgumentError, match=r'there is no ".*bel.qasm". Did you mean "bell.qasm"'):
        read_qasm(tmp_path / "bel.qasm")
    with pytest.raises(ArgumentError, match="must name an existing file"):
        read_qasm("nowhere/to/be/found.qasm")
    with pytest.raises(ArgumentError, match="Is a directory"):
        read_qasm(tmp_path)
    (tmp_path / "binary.qasm").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArgumentError, match="must name a UTF-8 text file"):
        read_qasm(tmp_path / "binary.qasm")
    with pytest.raises(ArgumentError, match="must be a path or OpenQASM text; got int"):
        read_qasm(5)


def test_too_long():
    with pytest.raises(ArgumentError, match="at most 4,000,000 characters long"):
        read_qasm("qubit q;\n" + "x q;\n" * 1_000_000)


def test_threads_do_not_disturb_each_other():
    """Nothing global, such as stderr, is replaced while reading."""
    before, seen = sys.stderr, []

    def read():
        for _ in range(5):
            with pytest.raises(QasmError):
                read_qasm(f"{STANDARD}qubit q; rx(0.5 q;")
            seen.append(sys.stderr is before)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 20
