// The default layer of qnn on 2 qubits: encode with RX(x_i) on |0>, then H, RX(w_i), and CNOT from wire i to
// (i+1) mod 2. With s_i = sin(w_i) sin(x_i): <Z0> = s_1 and <Z1> = s_0 s_1.
// expect: <Z0> = sin(w_1)*sin(x_1)
// expect: <Z1> = sin(w_0)*sin(x_0)*sin(w_1)*sin(x_1)
OPENQASM 3.0;
include "stdgates.inc";

input float[64] x_0;
input float[64] x_1;
input float[64] w_0;
input float[64] w_1;

qubit[2] q;

// encoding
rx(x_0) q[0];
rx(x_1) q[1];

// layer
h q;
rx(w_0) q[0];
rx(w_1) q[1];
cx q[0], q[1];
cx q[1], q[0];
