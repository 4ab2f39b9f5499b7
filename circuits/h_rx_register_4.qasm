// H-RX register of four qubits: H, then RX(theta_i), on every qubit.
// RX leaves H|0> as it is but for a global phase: no theta changes any outcome. See h_rx_cnot_4.qasm for a layer
// in which every parameter counts.
// expect: P(0000) = 1/16
// expect: P(1010) = 1/16
// expect: <X0> = 1
// expect: <X3> = 1
// expect: <Y1> = 0
// expect: <Z2> = 0
// expect: <X0 X1 X2 X3> = 1
OPENQASM 3.0;
include "stdgates.inc";

input float[64] theta_0;
input float[64] theta_1;
input float[64] theta_2;
input float[64] theta_3;

qubit[4] q;

h q;
rx(theta_0) q[0];
rx(theta_1) q[1];
rx(theta_2) q[2];
rx(theta_3) q[3];
