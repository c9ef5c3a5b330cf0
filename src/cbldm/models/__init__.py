"""The parts of CbLDM, a module each; `cbldm.models.cbldm` joins them."""
