"""pytest puts the folder of this file on the import path, so that tests find `fakes`."""
