"""Clients of the archives: CSC, CDA, SIMBAD and ADS, patient and polite."""
