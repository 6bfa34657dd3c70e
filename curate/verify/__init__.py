"""Whether what the library wrote is still what it wrote (docs/faults.md)."""

from curate.verify.directory import verify
from curate.verify.findings import Finding, Place, Verification

__all__ = ["Finding", "Place", "Verification", "verify"]
