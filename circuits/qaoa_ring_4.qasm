// One round of QAOA for MaxCut on a ring of four nodes; gamma weighs the cost, beta mixes.
// expect: <Z0> = 0
// expect: <Z0 Z1> = sin(4*beta)*sin(2*gamma)/2
// expect: <Z1 Z2> = sin(4*beta)*sin(2*gamma)/2
// expect: <Z2 Z3> = sin(4*beta)*sin(2*gamma)/2
// expect: <Z3 Z0> = sin(4*beta)*sin(2*gamma)/2
OPENQASM 3.0;
include "stdgates.inc";

input float[64] gamma;
input float[64] beta;

gate zz(angle_) a, b {
  cx a, b;
  rz(angle_) b;
  cx a, b;
}

qubit[4] q;

h q;
zz(gamma) q[0], q[1];
zz(gamma) q[1], q[2];
zz(gamma) q[2], q[3];
zz(gamma) q[3], q[0];
rx(2*beta) q;
