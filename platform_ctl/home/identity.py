"""Who is at the keyboard."""

from __future__ import annotations

import getpass
import os
import sys


def local_user() -> str:
    """The account that owns this process. On POSIX from the user database by uid: LOGNAME and
    USER, which ``getpass`` believes, are anybody's to set."""
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid-{os.geteuid()}"
