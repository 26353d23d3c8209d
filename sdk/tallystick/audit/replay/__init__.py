"""Replay of one log's entries: what they mean together.

answer_keys  what signed answers, against the keys that the log tells of
entries  every replay of a log, told of one entry after the other
peer_heads  what the ledger says to have seen of other logs
rewards  rewards against acceptances, budgets against programs
times    is the time that entries state an honest one?
"""

from tallystick.audit.replay.entries import LogReplay, settle
from tallystick.audit.replay.peer_heads import SeenAt
from tallystick.audit.replay.rewards import Half, RewardReplay
from tallystick.audit.replay.times import TimeReplay
from tallystick_consent.replay import TIME_SLACK_S

__all__ = ["TIME_SLACK_S", "Half", "LogReplay", "RewardReplay", "SeenAt", "TimeReplay", "settle"]
