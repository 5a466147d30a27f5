from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MinerStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNSPECIFIED: _ClassVar[MinerStatus]
    NOT_STARTED: _ClassVar[MinerStatus]
    NORMAL: _ClassVar[MinerStatus]
    PAUSED: _ClassVar[MinerStatus]
    SUSPENDED: _ClassVar[MinerStatus]
    RESTRICTED: _ClassVar[MinerStatus]

class SaveAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NONE: _ClassVar[SaveAction]
    SAVE: _ClassVar[SaveAction]
    SAVE_AND_APPLY: _ClassVar[SaveAction]
    SAVE_AND_FORCE_APPLY: _ClassVar[SaveAction]
UNSPECIFIED: MinerStatus
NOT_STARTED: MinerStatus
NORMAL: MinerStatus
PAUSED: MinerStatus
SUSPENDED: MinerStatus
RESTRICTED: MinerStatus
NONE: SaveAction
SAVE: SaveAction
SAVE_AND_APPLY: SaveAction
SAVE_AND_FORCE_APPLY: SaveAction

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Credentials(_message.Message):
    __slots__ = ("username", "password")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    username: str
    password: str
    def __init__(self, username: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("token", "timeout_s")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    token: str
    timeout_s: int
    def __init__(self, token: _Optional[str] = ..., timeout_s: _Optional[int] = ...) -> None: ...

class Power(_message.Message):
    __slots__ = ("watt",)
    WATT_FIELD_NUMBER: _ClassVar[int]
    watt: int
    def __init__(self, watt: _Optional[int] = ...) -> None: ...

class PowerRange(_message.Message):
    __slots__ = ("default", "min", "max")
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    default: Power
    min: Power
    max: Power
    def __init__(self, default: _Optional[_Union[Power, _Mapping]] = ..., min: _Optional[_Union[Power, _Mapping]] = ..., max: _Optional[_Union[Power, _Mapping]] = ...) -> None: ...

class TunerConstraints(_message.Message):
    __slots__ = ("power_target",)
    POWER_TARGET_FIELD_NUMBER: _ClassVar[int]
    power_target: PowerRange
    def __init__(self, power_target: _Optional[_Union[PowerRange, _Mapping]] = ...) -> None: ...

class SecondsRange(_message.Message):
    __slots__ = ("default", "min", "max")
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    default: int
    min: int
    max: int
    def __init__(self, default: _Optional[int] = ..., min: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...

class HashboardConstraints(_message.Message):
    __slots__ = ("quick_ramping_time_s",)
    QUICK_RAMPING_TIME_S_FIELD_NUMBER: _ClassVar[int]
    quick_ramping_time_s: SecondsRange
    def __init__(self, quick_ramping_time_s: _Optional[_Union[SecondsRange, _Mapping]] = ...) -> None: ...

class Constraints(_message.Message):
    __slots__ = ("tuner_constraints", "hashboards_constraints")
    TUNER_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    HASHBOARDS_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    tuner_constraints: TunerConstraints
    hashboards_constraints: HashboardConstraints
    def __init__(self, tuner_constraints: _Optional[_Union[TunerConstraints, _Mapping]] = ..., hashboards_constraints: _Optional[_Union[HashboardConstraints, _Mapping]] = ...) -> None: ...

class HashboardConfiguration(_message.Message):
    __slots__ = ("quick_ramping_time_up_s", "quick_ramping_time_down_s")
    QUICK_RAMPING_TIME_UP_S_FIELD_NUMBER: _ClassVar[int]
    QUICK_RAMPING_TIME_DOWN_S_FIELD_NUMBER: _ClassVar[int]
    quick_ramping_time_up_s: int
    quick_ramping_time_down_s: int
    def __init__(self, quick_ramping_time_up_s: _Optional[int] = ..., quick_ramping_time_down_s: _Optional[int] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("hashboard_config",)
    HASHBOARD_CONFIG_FIELD_NUMBER: _ClassVar[int]
    hashboard_config: HashboardConfiguration
    def __init__(self, hashboard_config: _Optional[_Union[HashboardConfiguration, _Mapping]] = ...) -> None: ...

class PowerStats(_message.Message):
    __slots__ = ("approximated_consumption",)
    APPROXIMATED_CONSUMPTION_FIELD_NUMBER: _ClassVar[int]
    approximated_consumption: Power
    def __init__(self, approximated_consumption: _Optional[_Union[Power, _Mapping]] = ...) -> None: ...

class Stats(_message.Message):
    __slots__ = ("power_stats",)
    POWER_STATS_FIELD_NUMBER: _ClassVar[int]
    power_stats: PowerStats
    def __init__(self, power_stats: _Optional[_Union[PowerStats, _Mapping]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("name", "miner_model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MINER_MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    miner_model: str
    def __init__(self, name: _Optional[str] = ..., miner_model: _Optional[str] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("current",)
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    current: str
    def __init__(self, current: _Optional[str] = ...) -> None: ...

class Details(_message.Message):
    __slots__ = ("miner_identity", "bos_version", "hostname", "mac_address", "status")
    MINER_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    BOS_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    MAC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    miner_identity: Identity
    bos_version: Version
    hostname: str
    mac_address: str
    status: MinerStatus
    def __init__(self, miner_identity: _Optional[_Union[Identity, _Mapping]] = ..., bos_version: _Optional[_Union[Version, _Mapping]] = ..., hostname: _Optional[str] = ..., mac_address: _Optional[str] = ..., status: _Optional[_Union[MinerStatus, str]] = ...) -> None: ...

class PowerTarget(_message.Message):
    __slots__ = ("power_target",)
    POWER_TARGET_FIELD_NUMBER: _ClassVar[int]
    power_target: Power
    def __init__(self, power_target: _Optional[_Union[Power, _Mapping]] = ...) -> None: ...

class TunerMode(_message.Message):
    __slots__ = ("power_target",)
    POWER_TARGET_FIELD_NUMBER: _ClassVar[int]
    power_target: PowerTarget
    def __init__(self, power_target: _Optional[_Union[PowerTarget, _Mapping]] = ...) -> None: ...

class PerformanceMode(_message.Message):
    __slots__ = ("tuner_mode",)
    TUNER_MODE_FIELD_NUMBER: _ClassVar[int]
    tuner_mode: TunerMode
    def __init__(self, tuner_mode: _Optional[_Union[TunerMode, _Mapping]] = ...) -> None: ...

class SetPowerTarget(_message.Message):
    __slots__ = ("save_action", "power_target")
    SAVE_ACTION_FIELD_NUMBER: _ClassVar[int]
    POWER_TARGET_FIELD_NUMBER: _ClassVar[int]
    save_action: SaveAction
    power_target: Power
    def __init__(self, save_action: _Optional[_Union[SaveAction, str]] = ..., power_target: _Optional[_Union[Power, _Mapping]] = ...) -> None: ...

class SetQuickRamping(_message.Message):
    __slots__ = ("save_action", "up_s", "down_s")
    SAVE_ACTION_FIELD_NUMBER: _ClassVar[int]
    UP_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_S_FIELD_NUMBER: _ClassVar[int]
    save_action: SaveAction
    up_s: int
    down_s: int
    def __init__(self, save_action: _Optional[_Union[SaveAction, str]] = ..., up_s: _Optional[int] = ..., down_s: _Optional[int] = ...) -> None: ...

class QuickRamping(_message.Message):
    __slots__ = ("up_s", "down_s")
    UP_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_S_FIELD_NUMBER: _ClassVar[int]
    up_s: int
    down_s: int
    def __init__(self, up_s: _Optional[int] = ..., down_s: _Optional[int] = ...) -> None: ...

class Paused(_message.Message):
    __slots__ = ("already_paused",)
    ALREADY_PAUSED_FIELD_NUMBER: _ClassVar[int]
    already_paused: bool
    def __init__(self, already_paused: _Optional[bool] = ...) -> None: ...

class Resumed(_message.Message):
    __slots__ = ("already_mining",)
    ALREADY_MINING_FIELD_NUMBER: _ClassVar[int]
    already_mining: bool
    def __init__(self, already_mining: _Optional[bool] = ...) -> None: ...
