"""OGIP files of strangers -> spectra with the detection that they are of."""
