// Quantum Fourier transform of |0101> on four qubits: wire j ends in (|0> + exp(2 pi i 5/2^(j+1)) |1>)/sqrt(2).
// expect: P(0000) = 1/16
// expect: <X0> = -1
// expect: <Y1> = 1
// expect: <X2> = cos(5*pi/4)
// expect: <Y2> = sin(5*pi/4)
// expect: <X3> = cos(5*pi/8)
// expect: <Y3> = sin(5*pi/8)
OPENQASM 3.0;
include "stdgates.inc";

qubit[4] q;

x q[1];
x q[3];

h q[0];
cp(pi/2) q[1], q[0];
cp(pi/4) q[2], q[0];
cp(pi/8) q[3], q[0];
h q[1];
cp(pi/2) q[2], q[1];
cp(pi/4) q[3], q[1];
h q[2];
cp(pi/2) q[3], q[2];
h q[3];
swap q[0], q[3];
swap q[1], q[2];
