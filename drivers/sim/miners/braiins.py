"""A miner with Braiins OS, as its clients see it: the gRPC services behind a token."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf.message import Message
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.miners import braiins_pb2 as pb
from rampd.drivers.sim.members import Member

VERSION: Final = "2025-08-14-0-7dbcbd25-25.07-plus"
MODEL: Final = "Antminer S19J Pro"
_RAMP_S: Final = (1, 600, 10)
"""Least, most, and default of the native ramps, in s."""

Answer = Callable[[Any], Message]


class BraiinsServer:
    """One simulated miner. `token_s` is how long a token lives after its last use; `saves` counts writes to flash."""

    def __init__(
        self, member: Member, device_map: MemberMap, login: Login | None, *, token_s: float = 3600.0, ramps: bool = True
    ) -> None:
        self._member = member
        self._login = login if login is not None else Login("root", "root")
        self._token_s = token_s
        self._ramps = ramps
        self._tokens: dict[str, float] = {}
        self._target_w = round(member.max_w)
        self.ramp_s = (_RAMP_S[2], _RAMP_S[2])
        self.saves = 0
        self._grpc: Server | None = None

    async def start(self) -> None:
        """Makes the server of the services; the gate listens."""
        self._grpc = Server([self])

    async def stop(self) -> None:
        """Ends calls that are under way."""
        if self._grpc is not None:
            for handler in self._grpc._handlers:
                handler.close()

    def connect(self) -> asyncio.Protocol:
        """An HTTP/2 connection."""
        assert self._grpc is not None
        return self._grpc._protocol_factory()

    def power_on(self) -> None:
        """Tokens are gone, and so is a pause; the saved target is not."""
        self._tokens.clear()
        self._member.power_on()
        self._member.set_limit(float(self._target_w))

    def __mapping__(self) -> dict[str, Handler]:
        """The services, by path."""
        calls: list[tuple[str, Answer, type[Message], type[Message]]] = [
            ("MinerService/GetMinerStats", self._stats, pb.Nothing, pb.Stats),
            ("MinerService/GetMinerDetails", self._details, pb.Nothing, pb.Details),
            ("ConfigurationService/GetConstraints", self._constraints, pb.Nothing, pb.Constraints),
            ("ConfigurationService/GetMinerConfiguration", self._configuration, pb.Nothing, pb.Configuration),
            ("PerformanceService/GetActivePerformanceMode", self._mode, pb.Nothing, pb.PerformanceMode),
            ("PerformanceService/SetPowerTarget", self._set_target, pb.SetPowerTarget, pb.PowerTarget),
            ("ActionsService/PauseMining", self._pause, pb.Nothing, pb.Paused),
            ("ActionsService/ResumeMining", self._resume, pb.Nothing, pb.Resumed),
        ]
        if self._ramps:
            calls.append(("PerformanceService/SetQuickRamping", self._set_ramps, pb.SetQuickRamping, pb.QuickRamping))
        found = {f"/braiins.bos.v1.{path}": _unary(self._authorized(do), one, other) for path, do, one, other in calls}
        login = "/braiins.bos.v1.AuthenticationService/Login"
        return found | {login: Handler(self._log_in, Cardinality.UNARY_UNARY, pb.Credentials, pb.Session)}

    async def _log_in(self, stream: Stream[pb.Credentials, pb.Session]) -> None:
        request = await stream.recv_message()
        assert request is not None
        if (request.username, request.password) != (self._login.user, self._login.secret):
            raise GRPCError(Status.UNAUTHENTICATED, "invalid credentials")
        token = secrets.token_urlsafe(12)
        self._tokens[token] = time.monotonic() + self._token_s
        await stream.send_initial_metadata(metadata={"authorization": token})
        await stream.send_message(pb.Session(token=token, timeout_s=int(max(0.0, self._token_s))))

    def _authorized(self, do: Answer) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        async def call(stream: Stream[Any, Any]) -> None:
            token = str(stream.metadata.get("authorization", "")) if stream.metadata is not None else ""
            if self._tokens.get(token, 0.0) < time.monotonic():
                raise GRPCError(Status.UNAUTHENTICATED, "invalid token")
            self._tokens[token] = time.monotonic() + self._token_s
            await stream.send_message(do(await stream.recv_message()))

        return call

    def _stats(self, request: Message) -> pb.Stats:
        if self._member.absent:
            return pb.Stats()
        power = pb.Power(watt=round(self._member.power_w))
        return pb.Stats(power_stats=pb.PowerStats(approximated_consumption=power))

    def _details(self, request: Message) -> pb.Details:
        return pb.Details(
            miner_identity=pb.Identity(name=MODEL, miner_model=MODEL), bos_version=pb.Version(current=VERSION),
            hostname="miner", mac_address="02:00:5E:10:00:04",
            status=pb.PAUSED if self._member.limit_w == 0 else pb.NORMAL,
        )  # fmt: skip

    def _constraints(self, request: Message) -> pb.Constraints:
        most_w = round(self._member.max_w)
        bounds = pb.PowerRange(
            default=pb.Power(watt=most_w), min=pb.Power(watt=round(0.4 * most_w)), max=pb.Power(watt=most_w)
        )
        found = pb.Constraints(tuner_constraints=pb.TunerConstraints(power_target=bounds))
        if self._ramps:
            seconds = pb.SecondsRange(min=_RAMP_S[0], max=_RAMP_S[1], default=_RAMP_S[2])
            found.hashboards_constraints.quick_ramping_time_s.CopyFrom(seconds)
        return found

    def _configuration(self, request: Message) -> pb.Configuration:
        up_s, down_s = self.ramp_s
        boards = pb.HashboardConfiguration(quick_ramping_time_up_s=up_s, quick_ramping_time_down_s=down_s)
        return pb.Configuration(hashboard_config=boards if self._ramps else None)

    def _mode(self, request: Message) -> pb.PerformanceMode:
        target_w = round(self._member.limit_w) or self._target_w
        target = pb.PowerTarget(power_target=pb.Power(watt=target_w))
        return pb.PerformanceMode(tuner_mode=pb.TunerMode(power_target=target))

    def _set_target(self, request: pb.SetPowerTarget) -> pb.PowerTarget:
        watts, most_w = request.power_target.watt, round(self._member.max_w)
        if request.save_action == pb.NONE or not round(0.4 * most_w) <= watts <= most_w:
            raise GRPCError(Status.INVALID_ARGUMENT, "power target out of range")
        self.saves += 1
        if self._member.writes == "done":
            self._target_w = watts
        if request.save_action != pb.SAVE and self._member.limit_w > 0:
            self._member.write(float(watts))
        return pb.PowerTarget(power_target=pb.Power(watt=watts))

    def _set_ramps(self, request: pb.SetQuickRamping) -> pb.QuickRamping:
        if not all(_RAMP_S[0] <= seconds <= _RAMP_S[1] for seconds in (request.up_s, request.down_s)):
            raise GRPCError(Status.INVALID_ARGUMENT, "ramp out of range")
        self.saves += 1
        self.ramp_s = (request.up_s, request.down_s)
        return pb.QuickRamping(up_s=request.up_s, down_s=request.down_s)

    def _pause(self, request: Message) -> pb.Paused:
        paused = self._member.limit_w == 0
        self._member.write(0.0)
        return pb.Paused(already_paused=paused)

    def _resume(self, request: Message) -> pb.Resumed:
        mining = self._member.limit_w > 0
        if not mining:
            self._member.write(float(self._target_w))
        return pb.Resumed(already_mining=mining)


def _unary(do: Callable[[Stream[Any, Any]], Awaitable[None]], one: type[Message], other: type[Message]) -> Handler:
    return Handler(do, Cardinality.UNARY_UNARY, one, other)
