"""Transparency logs as C2SP writes them, byte for byte: trees, tiles, signed notes, checkpoints, proofs, policies.

Each file imports only those above it:

hashing        leaf and node hashes, one or many at once            FIPS 180-4, RFC 6962
merkle         roots, inclusion and consistency proofs              RFC 6962, RFC 9162
ranges         one proof for entries side by side                   transparency-dev/merkle compact ranges
subtree        proofs of and in subtrees                            draft-ietf-plants-merkle-tree-certs
tiles          a tree as static files                               c2sp.org/tlog-tiles
reader         a tree read back from them, with a bounded cache     c2sp.org/tlog-tiles
head           the text of a checkpoint: origin, size, root         c2sp.org/tlog-checkpoint
cosignature    the messages that cosigners sign                     c2sp.org/tlog-cosignature
keys           verifier keys: their text, their id, their check     c2sp.org/signed-note
signers        the private halves of those keys                     c2sp.org/signed-note
note           a text with signature lines                          c2sp.org/signed-note
checkpoint     a signed head, opened                                c2sp.org/tlog-checkpoint
proof          an entry's proof as one file, checked offline        c2sp.org/tlog-proof
policy         which logs and how many witnesses to trust           c2sp.org/tlog-policy
"""
