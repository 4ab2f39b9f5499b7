// The default layer of qnn on 4 qubits: encode with RX(x_i) on |0>, then H, RX(w_i), and CNOT from wire i to
// (i+1) mod 4. With s_i = sin(w_i) sin(x_i): <Z0> = s_1...s_3, and <Zk> = s_0...s_k for the other wires.
// expect: <Z0> = sin(w_1)*sin(x_1)*sin(w_2)*sin(x_2)*sin(w_3)*sin(x_3)
// expect: <Z1> = sin(w_0)*sin(x_0)*sin(w_1)*sin(x_1)
// expect: <Z2> = sin(w_0)*sin(x_0)*sin(w_1)*sin(x_1)*sin(w_2)*sin(x_2)
// expect: <Z3> = sin(w_0)*sin(x_0)*sin(w_1)*sin(x_1)*sin(w_2)*sin(x_2)*sin(w_3)*sin(x_3)
OPENQASM 3.0;
include "stdgates.inc";

input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
input float[64] w_0;
input float[64] w_1;
input float[64] w_2;
input float[64] w_3;

qubit[4] q;

// encoding
rx(x_0) q[0];
rx(x_1) q[1];
rx(x_2) q[2];
rx(x_3) q[3];

// layer
h q;
rx(w_0) q[0];
rx(w_1) q[1];
rx(w_2) q[2];
rx(w_3) q[3];
cx q[0], q[1];
cx q[1], q[2];
cx q[2], q[3];
cx q[3], q[0];
