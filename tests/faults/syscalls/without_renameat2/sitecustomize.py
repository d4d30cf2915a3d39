"""As plain, and the kernel answers each renameat2 with EINVAL, as that of an NFS client does.

It does so by itself: the flag that is asked for is one that no kernel knows.
"""

import os
import runpy

from spoolq import platform

_HERE = os.path.dirname(os.path.abspath(__file__))
runpy.run_path(os.path.join(os.path.dirname(_HERE), "plain", "sitecustomize.py"))
platform._RENAME_NOREPLACE = 1 << 30
