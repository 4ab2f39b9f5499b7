"""The embedded batched state-vector engine, its adjoint, and sampling."""
