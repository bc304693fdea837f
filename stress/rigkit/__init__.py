"""The rig: builds guests, boots them under faults, and judges what happened. See docs/rig.md."""
