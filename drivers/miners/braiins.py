"""Braiins OS over gRPC: pause and resume under the firmware's own ramps, and a power target where flash may be written.

Facts: field numbers and types of braiins/bos-plus-api (bos.v1, API 1.7) as in `braiins.proto`. Every power target is
saved, the API knows no other way; pausing is not. Tokens live an hour after their last use.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final, TypeVar

from google.protobuf.message import Message
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol

from rampd.drivers.address import joined
from rampd.drivers.members import Ability, DeviceError, Login, Reading
from rampd.drivers.miners import braiins_pb2 as pb
from rampd.drivers.miners.budget import Budget
from rampd.drivers.miners.maps import BraiinsMap

LONGEST: Final = 256 * 1024
TARGET_S: Final = 30.0
"""Age at which the target is read again while the power stays below it; a call costs as much as a reading."""
_MOST_W: Final = 100_000
_LOST_TOKEN: Final = (Status.UNAUTHENTICATED, Status.PERMISSION_DENIED)

ReplyT = TypeVar("ReplyT", bound=Message)


class _Wire(H2Protocol):
    """A connection that gives up on a miner that does not stop sending. `budget` is refilled by every call."""

    budget = LONGEST

    def data_received(self, data: bytes) -> None:
        self.budget -= len(data)
        if self.budget < 0:
            self.processor.close(reason=f"the answer is longer than {LONGEST} bytes")
        else:
            super().data_received(data)


class _Channel(Channel):
    """One kept connection of bounded size."""

    def _protocol_factory(self) -> _Wire:
        plain = super()._protocol_factory()
        return _Wire(plain.handler, plain.config, plain.h2_config)

    def refill(self) -> None:
        """Before a call: what it may receive."""
        if isinstance(self._protocol, _Wire):
            self._protocol.budget = LONGEST


class BraiinsMember:
    """A miner with Braiins OS on port 50051, one connection kept."""

    def __init__(self, host: str, port: int, device_map: BraiinsMap, login: Login | None = None) -> None:
        self._host = host
        self._port = port
        self._map = device_map
        self._login = login
        self._channel: _Channel | None = None
        self._token = ""
        self._target_w = math.nan
        self._target_s = -math.inf
        self._asleep: bool | None = None
        self._targets = Budget(device_map.braiins.targets_per_day)

    @property
    def id(self) -> str:
        """Its address."""
        return joined(self._host, self._port)

    async def open(self) -> Ability:
        """Logs in, learns target and constraints, and sets the native ramps where they differ from the map's."""
        await self._login_anew()
        constraints = await self._call("ConfigurationService/GetConstraints", pb.Nothing(), pb.Constraints)
        await self._prepare_ramps(constraints)
        await self._learn_target()
        capability = self._map.capability
        if self._targets.most == 0:
            level_w = self._level_w()
            return Ability(level_w, level_w, levels=(level_w,), sleeps=True, asleep_w=capability.asleep_w)
        bounds = constraints.tuner_constraints.power_target
        low_w, high_w = float(bounds.min.watt), float(bounds.max.watt)
        if not 0 < low_w < high_w <= _MOST_W:
            raise DeviceError(f"{self.id}: its power targets make no sense: {low_w:g} to {high_w:g} W")
        return Ability(low_w, high_w, step_w=1.0, sleeps=True, asleep_w=capability.asleep_w)

    async def read(self) -> Reading:
        """Power as the firmware reckons it, and the power target; none is told while it tunes for something else."""
        stats = await self._call("MinerService/GetMinerStats", pb.Nothing(), pb.Stats)
        if not stats.power_stats.HasField("approximated_consumption"):
            raise DeviceError(f"{self.id}: tells no power")
        power_w = self._watts(stats.power_stats.approximated_consumption)
        # Who is known to run and draws that much needs not be asked.
        if self._asleep is not False or power_w < self._map.capability.min_w:
            details = await self._call("MinerService/GetMinerDetails", pb.Nothing(), pb.Details)
            self._asleep = details.status == pb.PAUSED
        if self._asleep:
            return Reading(power_w, 0.0)
        if not power_w <= self._target_w * 1.05 or time.monotonic() - self._target_s >= TARGET_S:
            await self._learn_target()
        return Reading(power_w, None if math.isnan(self._target_w) else self._target_w)

    async def set_limit(self, limit_w: float) -> None:
        """Pauses at 0; else the target first, where it may be set, and then resumes."""
        asleep, self._asleep = self._asleep, None
        if limit_w <= 0:
            await self._call("ActionsService/PauseMining", pb.Nothing(), pb.Paused)
            self._asleep = True
            return
        if self._targets.most:
            await self._set_target(int(limit_w + 1e-6))
        elif limit_w + 0.5 < self._level_w():
            raise DeviceError(f"{self.id}: has no level up to {limit_w:g} W", refused=True)
        if asleep is not False:
            await self._call("ActionsService/ResumeMining", pb.Nothing(), pb.Resumed)
        self._asleep = False

    async def close(self) -> None:
        """Drops the connection; the token expires by itself."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def _prepare_ramps(self, constraints: pb.Constraints) -> None:
        """The native ramps of the map, written only where the miner has others: it saves them."""
        up_s, down_s = self._map.braiins.ramp_up_s, self._map.braiins.ramp_down_s
        if up_s is None and down_s is None:
            return
        if not constraints.hashboards_constraints.HasField("quick_ramping_time_s"):
            raise DeviceError(f"{self.id}: has no quick ramping: take ramp_up_s and ramp_down_s out of its map")
        bounds = constraints.hashboards_constraints.quick_ramping_time_s
        found = await self._call("ConfigurationService/GetMinerConfiguration", pb.Nothing(), pb.Configuration)
        now = found.hashboard_config
        has_up_s = now.quick_ramping_time_up_s if now.HasField("quick_ramping_time_up_s") else bounds.default
        has_down_s = now.quick_ramping_time_down_s if now.HasField("quick_ramping_time_down_s") else bounds.default
        wanted = (has_up_s if up_s is None else up_s, has_down_s if down_s is None else down_s)
        if wanted == (has_up_s, has_down_s):
            return
        if not all(bounds.min <= seconds <= bounds.max for seconds in wanted):
            raise DeviceError(f"{self.id}: ramps from {bounds.min} to {bounds.max} s, its map wants {wanted}")
        request = pb.SetQuickRamping(save_action=pb.SAVE_AND_APPLY, up_s=wanted[0], down_s=wanted[1])
        done = await self._call("PerformanceService/SetQuickRamping", request, pb.QuickRamping)
        if (done.up_s, done.down_s) != wanted:
            raise DeviceError(f"{self.id}: took ramps of {done.up_s} and {done.down_s} s instead of {wanted}")

    async def _learn_target(self) -> None:
        """The power target in force, NaN while the miner tunes for something else."""
        mode = await self._call("PerformanceService/GetActivePerformanceMode", pb.Nothing(), pb.PerformanceMode)
        told = mode.tuner_mode.power_target.HasField("power_target")
        self._target_w = self._watts(mode.tuner_mode.power_target.power_target) if told else math.nan
        self._target_s = time.monotonic()

    def _level_w(self) -> float:
        """What it draws when it does not sleep, where its target is left alone."""
        return self._target_w if self._target_w > 0 else self._map.capability.max_w

    async def _set_target(self, target_w: int) -> None:
        if self._target_w == target_w:
            return
        if self._targets.left() <= 0:
            text = f"{self.id}: its {self._targets.most} power targets a day are spent, each is written to flash"
            raise DeviceError(text, refused=True)
        self._targets.spend()
        self._target_w, self._target_s = math.nan, -math.inf
        request = pb.SetPowerTarget(save_action=pb.SAVE_AND_APPLY, power_target=pb.Power(watt=target_w))
        done = await self._call("PerformanceService/SetPowerTarget", request, pb.PowerTarget)
        if done.power_target.watt > target_w:
            raise DeviceError(f"{self.id}: took {done.power_target.watt} W instead of {target_w} W", refused=True)
        self._target_w = float(done.power_target.watt)

    def _watts(self, power: pb.Power) -> float:
        if power.watt > _MOST_W:
            raise DeviceError(f"{self.id}: {power.watt} W is not plausible")
        return float(power.watt)

    async def _login_anew(self) -> None:
        if self._login is None:
            raise DeviceError(f"{self.id}: says nothing without a password: give its rack a login", refused=True)
        self._token = ""
        request = pb.Credentials(username=self._login.user, password=self._login.secret)
        session = await self._unary("AuthenticationService/Login", request, pb.Session)
        if not session.token.isascii() or not session.token.isprintable() or not 0 < len(session.token) <= 4096:
            raise DeviceError(f"{self.id}: gave no usable token")
        self._token = session.token

    async def _call(self, path: str, request: Message, reply: type[ReplyT]) -> ReplyT:
        """A call with the token. One that was refused for its token is made once more with a new one."""
        if self._token:
            try:
                return await self._unary(path, request, reply)
            except _TokenLost:
                pass
        await self._login_anew()
        return await self._unary(path, request, reply)

    async def _unary(self, path: str, request: Message, reply: type[ReplyT]) -> ReplyT:
        """One call. Raises DeviceError and nothing else, whatever comes; the connection is dropped with it."""
        if self._channel is None:
            self._channel = _Channel(self._host, self._port)
        channel = self._channel
        channel.refill()
        call = UnaryUnaryMethod[Message, ReplyT](channel, f"/braiins.bos.v1.{path}", type(request), reply)
        try:
            async with asyncio.timeout(self._map.timeout_s):
                return await call(request, metadata={"authorization": self._token} if self._token else None)
        except GRPCError as error:
            kind = _TokenLost if error.status in _LOST_TOKEN and self._token else DeviceError
            about = f"{error.status.name.lower()}: {(error.message or '')[:100]}"
            raise kind(f"{self.id}: {path} refused: {about}", refused=True) from None
        except TimeoutError:
            await self.close()
            raise DeviceError(f"{self.id}: {path}: no answer within {self._map.timeout_s:g} s") from None
        except OSError as error:
            await self.close()
            raise DeviceError(f"{self.id}: no connection: {error}") from error
        except asyncio.CancelledError:
            await self.close()
            raise
        except Exception as error:  # what HTTP/2, metadata and messages of a broken miner raise is no closed list
            await self.close()
            about = f"{type(error).__name__}: {error}"[:150]
            raise DeviceError(f"{self.id}: {path}: not a usable answer: {about}") from error


class _TokenLost(DeviceError):
    """Refused for its token."""
