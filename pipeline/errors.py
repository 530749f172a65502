"""The exception that means: the user has something to mend."""


class UserError(Exception):
    """Bad input, found before any work starts.

    The message says what is wrong, where, and what to do. An entry in jobs/ prints it without a
    traceback and exits with status 2.
    """


class UnfitValues(UserError):
    """Values of settings that a model refuses, or that no loss stays finite with: other values may do."""
