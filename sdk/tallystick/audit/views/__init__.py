"""Did a log show everybody the same? What others saw of it, held against what it shows to the auditor.

seen       heads that others saw, against the log's own
witnesses  heads that the witnesses of a policy cosigned last
partners   heads that stand in the ledgers of partners
"""
