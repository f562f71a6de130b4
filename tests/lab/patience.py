"""How many times slower this machine is than those that the lab's deadlines were chosen on.

Guests without the processor's help set it; anybody may. What has to be fast is asserted
elsewhere: a deadline only ends what hangs.
"""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("ENFORCER_PATIENCE", "1"))
