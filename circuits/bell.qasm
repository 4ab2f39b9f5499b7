// Bell pair: the two-qubit state (|00> + |11>)/sqrt(2).
// expect: P(00) = 1/2
// expect: P(11) = 1/2
// expect: <Z0> = 0
// expect: <Z0 Z1> = 1
// expect: <X0 X1> = 1
// expect: <Y0 Y1> = -1
OPENQASM 3.0;
include "stdgates.inc";

qubit[2] q;

h q[0];
cx q[0], q[1];
