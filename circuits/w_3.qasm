// W state of three qubits: (|100> + |010> + |001>)/sqrt(3); it stays entangled when one qubit is lost.
// expect: P(100) = 1/3
// expect: P(010) = 1/3
// expect: P(001) = 1/3
// expect: <Z0> = 1/3
// expect: <Z0 Z1> = -1/3
// expect: <X0 X1> = 2/3
OPENQASM 3.0;
include "stdgates.inc";

qubit[3] q;

ry(1.9106332362490186) q[0];  // 2 arccos(1/sqrt(3)): |0> keeps the weight 1/3
ch q[0], q[1];
cx q[1], q[2];
cx q[0], q[1];
x q[0];
