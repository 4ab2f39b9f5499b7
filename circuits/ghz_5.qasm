// Greenberger-Horne-Zeilinger state of five qubits: (|00000> + |11111>)/sqrt(2).
// expect: P(00000) = 1/2
// expect: P(11111) = 1/2
// expect: <Z2> = 0
// expect: <Z0 Z4> = 1
// expect: <X0 X1 X2 X3 X4> = 1
// expect: <X0 X1 X2 X3> = 0
OPENQASM 3.0;
include "stdgates.inc";

qubit[5] q;

h q[0];
cx q[0], q[1];
cx q[1], q[2];
cx q[2], q[3];
cx q[3], q[4];
