"""Verification that files are still what the library wrote (docs/faults.md)."""

from curate.verification.directory import verify
from curate.verification.findings import Finding, Place, Verification

__all__ = ["Finding", "Place", "Verification", "verify"]
