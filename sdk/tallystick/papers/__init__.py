"""Papers: files that a company hands to its customer, for the customer to check offline, and to show.

Pure: bytes in, a verdict out; nothing is fetched. A paper holds the descriptors of the companies that speak in it, so
it can be read alone; whether those are theirs, only who has compared their fingerprints by another way knows.

certificate  what was erased: ledger entries with their proofs, and what each partner answered
export       everything that a node holds about a subject, with proofs
receipt      what was permitted, in which words, as both companies signed it
"""

from tallystick.papers.certificate import (
    CERTIFICATE_SIZE_MAX_BYTES,
    Certificate,
    CertifiedLink,
    check_certificate,
    parse_certificate,
)
from tallystick.papers.export import (
    EXPORT_SIZE_MAX_BYTES,
    LISTED_MAX,
    Export,
    ExportedClaim,
    ExportedEvent,
    ExportedReceipt,
    Logged,
    check_export,
    parse_export,
)
from tallystick.papers.receipt import (
    SIGNED_RECEIPT_SIZE_MAX_BYTES,
    NamedIn,
    SignedReceipt,
    check_signed_receipt,
    parse_signed_receipt,
)
from tallystick.papers.trust import PaperRejected, PaperVerdict, Trust

__all__ = [
    "CERTIFICATE_SIZE_MAX_BYTES",
    "EXPORT_SIZE_MAX_BYTES",
    "LISTED_MAX",
    "SIGNED_RECEIPT_SIZE_MAX_BYTES",
    "Certificate",
    "CertifiedLink",
    "Export",
    "ExportedClaim",
    "ExportedEvent",
    "ExportedReceipt",
    "Logged",
    "NamedIn",
    "PaperRejected",
    "PaperVerdict",
    "SignedReceipt",
    "Trust",
    "check_certificate",
    "check_export",
    "check_signed_receipt",
    "parse_certificate",
    "parse_export",
    "parse_signed_receipt",
]
