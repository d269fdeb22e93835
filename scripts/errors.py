"""Every way in which a script can fail, each saying what to do about it."""


class ScriptError(SystemExit):
    """Something that the person at the terminal can put right.

    Where nobody catches it, Python prints the message and ends with exit code 1.
    """


class DataSetError(ScriptError):
    """The folder does not hold what is needed of BreakHis."""


class DownloadError(ScriptError):
    """The data set can't be fetched."""


class NoStartingWeights(ScriptError):
    """There are neither ImageNet weights on disk nor a network to fetch them."""


class NoCheckpoints(ScriptError):
    """The models of the cross-validation are not there, or are those of another run."""
