"""Classical surrogates of quantum layers: their Fourier series."""
